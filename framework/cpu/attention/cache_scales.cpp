#include "cache_scales.h"

namespace npufa::cpu {

std::int64_t CacheScales::At(const Sequence& s, std::int64_t head, std::int64_t token) const {
  const Antiquant& q = antiquant_;
  std::int64_t at = head * q.head;
  if (q.paged) {
    const std::int64_t block = source_.block_table[s.batch * source_.table_stride + token / source_.block_size];
    return at + block * q.batch + token % source_.block_size * q.token;
  }
  return at + s.batch * q.batch + (token - s.prefix_len + s.kv_first) * q.token;
}

void CacheScales::Gather(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t keys) {
  for (std::int64_t j = 0; j < keys; ++j) {
    const std::int64_t at = At(s, head, first + j);
    scale_[j] = antiquant_.scale[at];
    if (antiquant_.offset) offset_[j] = antiquant_.offset[at];
  }
}

void CacheScales::ScaleQuery(const Sequence& s, std::int64_t head, std::int64_t rows, float* query, std::int64_t ld,
                             float* shift) const {
  const std::int64_t at = PerToken() ? 0 : At(s, head, 0);
  for (std::int64_t g = 0; g < rows; ++g) {
    float* q = query + g * ld;
    float sum = 0.0f;
    for (std::int64_t x = 0; x < channels_; ++x) {
      const std::int64_t channel = at + x * antiquant_.channel;
      if (!PerToken()) q[x] *= antiquant_.scale[channel];
      sum += PerToken() ? q[x] : antiquant_.offset ? q[x] * antiquant_.offset[channel] : 0.0f;
    }
    shift[g] = sum;
  }
}

void CacheScales::ScaleScores(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t keys,
                              std::int64_t rows, float* scores, std::int64_t ld, const float* shift) {
  if (PerToken()) {
    Gather(s, head, first, keys);
    const float* offset = Offsets();
    for (std::int64_t g = 0; g < rows; ++g, scores += ld) {
      for (std::int64_t j = 0; j < keys; ++j) {
        scores[j] = (scores[j] + (offset ? offset[j] * shift[g] : 0.0f)) * scale_[j];
      }
    }
  } else if (antiquant_.offset) {
    for (std::int64_t g = 0; g < rows; ++g, scores += ld) {
      for (std::int64_t j = 0; j < keys; ++j) scores[j] += shift[g];
    }
  }
}

void CacheScales::ScaleProbabilities(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t keys,
                                     std::int64_t rows, float* p, std::int64_t ldp, float* acc, std::int64_t acc_ld) {
  Gather(s, head, first, keys);
  const float* offset = Offsets();
  for (std::int64_t g = 0; g < rows; ++g, p += ldp, acc += acc_ld) {
    float sum = 0.0f;
    for (std::int64_t j = 0; j < keys; ++j) {
      // A masked token contributes nothing, whatever its scale holds.
      p[j] = p[j] == 0.0f ? 0.0f : p[j] * scale_[j];
      if (offset) sum += p[j] == 0.0f ? 0.0f : p[j] * offset[j];
    }
    if (!offset) continue;
    for (std::int64_t x = 0; x < channels_; ++x) acc[x] += sum;
  }
}

void CacheScales::ScaleSums(const Sequence& s, std::int64_t head, std::int64_t rows, float* acc, std::int64_t ld,
                            const float* sum) const {
  const std::int64_t at = At(s, head, 0);
  for (std::int64_t g = 0; g < rows; ++g, acc += ld) {
    for (std::int64_t x = 0; x < channels_; ++x) {
      const std::int64_t channel = at + x * antiquant_.channel;
      acc[x] = (acc[x] + (antiquant_.offset ? antiquant_.offset[channel] * sum[g] : 0.0f)) * antiquant_.scale[channel];
    }
  }
}

}  // namespace npufa::cpu
