#include "tiles.h"

#include <algorithm>
#include <cstring>

#include "ops/dropout_threshold.h"

namespace npufa::cpu {

namespace {

constexpr int kInt4PerWord = 8;

void UnpackInt4(const std::int32_t* words, std::int64_t channels, float* row) {
  for (std::int64_t x = 0; x < channels; ++x) {
    const std::uint32_t word = static_cast<std::uint32_t>(words[x / kInt4PerWord]);
    const std::int32_t nibble = static_cast<std::int32_t>((word >> (4 * (x % kInt4PerWord))) & 0xFu);
    row[x] = static_cast<float>(nibble >= 8 ? nibble - 16 : nibble);
  }
}

void ScaleRow(std::int64_t n, float* s, float scale) {
  for (std::int64_t j = 0; j < n; ++j) s[j] *= scale;
}

void AddMatrixBias(const Problem& p, const Primitives& primitives, const Sequence& s, std::int64_t head, std::int64_t i,
                   std::int64_t first_key, std::int64_t keys, float scale, float* scores) {
  const Bias& bias = p.bias;
  const StoredBiasRow at = LocateBias(bias, i + s.mask_row, first_key + s.mask_column, keys);
  const char* data =
      bias.data + s.batch * bias.batch + head * bias.head + at.row * bias.row + at.column * SizeOf(bias.dtype);
  primitives.bias_row(at.columns, scores, scale, data, bias.dtype, bias.scaled ? p.scale : 1.0f);
  if (at.columns < keys) ScaleRow(keys - at.columns, scores + at.columns, scale);
}

}  // namespace

void RowSource::Pointers(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t count,
                         const void** out) const {
  for (std::int64_t x = 0; x < count;) {
    const std::int64_t j = first + x;
    const char* row;
    std::int64_t step = rows.token, run = count;
    if (j < s.prefix_len) {
      row = prefix.At(0, head, j);
      step = prefix.token;
      run = s.prefix_len - j;
    } else if (block_table) {
      const std::int64_t inside = j % block_size;
      row = rows.At(block_table[s.batch * table_stride + j / block_size], head, inside);
      run = block_size - inside;
    } else {
      row = rows.At(s.batch, head, s.kv_first + j - s.prefix_len);
    }
    for (const std::int64_t end = std::min(count, x + run); x < end; ++x, row += step) out[x] = row;
  }
}

RowLoader::RowLoader(const Problem& problem, const Primitives& primitives, const RowSource& source,
                     const Antiquant& antiquant, std::int64_t channels)
    : problem_(problem), primitives_(primitives), source_(source), antiquant_(antiquant), channels_(channels),
      stride_(PadLane(channels)), nz_rows_(source, channels * SizeOf(problem.kv_dtype)) {
  if (antiquant_.scale) scratch_.Resize(kTileKeys * stride_);
}

void RowLoader::Dequantise(const Sequence& s, std::int64_t head, std::int64_t token, const void* stored,
                           float* row) const {
  if (problem_.int4_cache) {
    UnpackInt4(static_cast<const std::int32_t*>(stored), channels_, row);
  } else {
    primitives_.to_f32(channels_, stored, problem_.kv_dtype, row);
  }
  std::int64_t at = head * antiquant_.head;
  if (antiquant_.paged) {
    const std::int64_t block = source_.block_table[s.batch * source_.table_stride + token / source_.block_size];
    at += block * antiquant_.batch + token % source_.block_size * antiquant_.token;
  } else {
    at += s.batch * antiquant_.batch + (token - s.prefix_len + s.kv_first) * antiquant_.token;
  }
  const float* scale = antiquant_.scale + at;
  const float* offset = antiquant_.offset ? antiquant_.offset + at : nullptr;
  const std::int64_t step = antiquant_.channel;
  for (std::int64_t x = 0; x < channels_; ++x) {
    row[x] = (row[x] + (offset ? offset[x * step] : 0.0f)) * scale[x * step];
  }
}

RowBlock RowLoader::Load(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t count) {
  source_.Pointers(s, head, first, count, pointers_);
  nz_rows_.Join(count, pointers_);
  if (!antiquant_.scale) return {pointers_, problem_.kv_dtype};
  for (std::int64_t x = 0; x < count; ++x) {
    float* row = scratch_.data() + x * stride_;
    Dequantise(s, head, first + x, pointers_[x], row);
    pointers_[x] = row;
  }
  return {pointers_, DType::kFloat32};
}

void TileWindow::Classify(const RowRange& rows, std::int64_t first_key, std::int64_t keys) {
  const Sequence& s = *rows.sequence;
  bool any = false, full = true;
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    const Window w = s.band.Row(rows.Token(r), s.kv_len);
    const std::int64_t b = std::clamp<std::int64_t>(w.begin - first_key, 0, keys);
    const std::int64_t e = std::clamp<std::int64_t>(w.end - first_key, b, keys);
    begin[r - rows.begin] = static_cast<std::int32_t>(b);
    end[r - rows.begin] = static_cast<std::int32_t>(e);
    any |= e > b;
    full &= b == 0 && e == keys;
  }
  kind = !any ? TileKind::kSkipped : full ? TileKind::kFull : TileKind::kPartial;
}

Columns TileWindow::Narrow(std::int64_t rows, std::int64_t keys) {
  if (kind == TileKind::kFull) return {0, keys};
  std::int32_t first = static_cast<std::int32_t>(keys), last = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    if (begin[r] >= end[r]) continue;
    first = std::min(first, begin[r]);
    last = std::max(last, end[r]);
  }
  first -= first % static_cast<std::int32_t>(kLane);
  for (std::int64_t r = 0; r < rows; ++r) {
    begin[r] = std::max(begin[r] - first, 0);
    end[r] = std::max(end[r] - first, 0);
  }
  return {first, last - first};
}

Window KeyRange(const RowRange& rows) {
  const Sequence& s = *rows.sequence;
  const bool one_head = rows.begin / s.q_len == (rows.end - 1) / s.q_len;
  const std::int64_t first = one_head ? rows.Token(rows.begin) : 0;
  const std::int64_t last = one_head ? rows.Token(rows.end - 1) : s.q_len - 1;
  return {s.band.Row(first, s.kv_len).begin, s.band.Row(last, s.kv_len).end};
}

void RowPointers(const Problem& p, const Strided& tensor, const RowRange& rows, const void** out) {
  const Sequence& s = *rows.sequence;
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    out[r - rows.begin] = tensor.At(s.batch, rows.QueryHead(p, r), s.q_first + rows.Token(r));
  }
}

void ScaleQuery(const Problem& p, const RowRange& rows, std::int64_t columns, float* query, std::int64_t ld) {
  const Sequence& s = *rows.sequence;
  for (std::int64_t r = rows.begin; r < rows.end; ++r, query += ld) {
    float scale;
    std::memcpy(&scale, p.query_scale.At(s.batch, rows.QueryHead(p, r), s.q_first + rows.Token(r)), sizeof scale);
    ScaleRow(columns, query, scale);
  }
}

StoredBiasRow LocateBias(const Bias& bias, std::int64_t row, std::int64_t column, std::int64_t keys) {
  if (bias.kind == Bias::Kind::kCompressed) {
    // The bias depends on the distance alone: rows before the stored ones are the last row, shifted.
    const std::int64_t skipped = bias.rows_total - kAlibiRows;
    if (row < skipped) {
      column += bias.rows_total - 1 - row;
      row = kAlibiRows - 1;
    } else {
      row -= skipped;
    }
  }
  return {row, column, std::clamp<std::int64_t>(bias.width - column, 0, keys)};
}

float CapBiasAndMask(const Problem& p, const Primitives& primitives, const RowRange& rows, std::int64_t first_key,
                     std::int64_t keys, float* scores, std::int64_t ld, float* slopes) {
  const Sequence& s = *rows.sequence;
  const bool biased = p.bias.kind != Bias::Kind::kNone;
  const bool capped = p.softcap > 0.0f;
  const float scale = capped ? 1.0f : p.scale;
  if (capped) primitives.softcap_rows(rows.Count(), keys, scores, ld, p.scale, p.softcap, slopes);
  if (!biased && !p.mask.data) return scale;
  for (std::int64_t r = rows.begin; r < rows.end; ++r, scores += ld) {
    const std::int64_t i = rows.Token(r);
    const std::int64_t head = rows.QueryHead(p, r);
    if (p.bias.kind == Bias::Kind::kMatrix || p.bias.kind == Bias::Kind::kCompressed) {
      AddMatrixBias(p, primitives, s, head, i, first_key, keys, scale, scores);
    } else if (biased) {
      float slope;
      __builtin_memcpy(&slope, p.bias.data + s.batch * p.bias.batch + head * p.bias.head, sizeof slope);
      const std::int64_t distance = p.bias.from_end ? s.q_len - s.kv_len : p.bias.distance;
      primitives.alibi_row(keys, scores, scale, slope, first_key + distance - i,
                           p.bias.kind == Bias::Kind::kSquareRoot);
    }
    if (p.mask.data) {
      primitives.mask_row(keys, scores,
                          p.mask.data + s.batch * p.mask.batch + head * p.mask.head + (i + s.mask_row) * p.mask.row +
                              first_key + s.mask_column);
    }
  }
  return biased ? 1.0f : scale;
}

void ApplyDropout(const Problem& p, const Primitives& primitives, const RowRange& rows, std::int64_t first_key,
                  std::int64_t keys, float* values, std::int64_t ld) {
  const Sequence& s = *rows.sequence;
  const float kept = static_cast<float>(1.0 / p.dropout.keep_prob);
  const std::uint64_t threshold = DropoutThreshold(p.dropout.keep_prob);
  for (std::int64_t r = rows.begin; r < rows.end; ++r, values += ld) {
    const std::int64_t row = rows.QueryHead(p, r) * s.dropout_rows + rows.Token(r);
    const auto first = static_cast<std::uint64_t>(s.dropout_first + row * s.dropout_columns + first_key);
    if (p.dropout.bits) {
      primitives.dropout_bits_row(keys, values, p.dropout.bits, first, kept);
    } else {
      primitives.dropout_philox_row(keys, values, p.dropout.seed, p.dropout.offset, first, threshold, kept);
    }
  }
}

}  // namespace npufa::cpu
