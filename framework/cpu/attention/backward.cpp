// Flash attention backward (Dao 2023): scores are recomputed tile by tile from the saved maximum and sum.
//
// A task owns a range of keys of one key/value head and walks over the query rows of the head's group, so key and value
// gradients need no other thread; query gradients are summed in a buffer of the task and added up in task order, which
// keeps the result the same from run to run for a given number of threads - and for any, where keys are cut into pieces
// that depend on their own sequence alone and every task adds up those.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "backward_tasks.h"

namespace npufa::cpu {

namespace {

// Sizes that every part of the backward pass agrees on. Query and key rows hold head and rope channels side by side.
struct Sizes {
  std::int64_t planes;  // of bfloat16; 0: float32
  std::int64_t rope_at, depth, depth_ld, value_ld;

  Sizes(const Problem& p, const Primitives& primitives) : planes(primitives.planes.Of(p.dtype)) {
    const std::int64_t even = planes ? 2 : 1;
    rope_at = (p.head_dim + even - 1) / even * even;
    depth = rope_at + (p.rope_dim + even - 1) / even * even;
    depth_ld = PadLane(rope_at) + PadLane(p.rope_dim);
    value_ld = PadLane(p.value_dim);
  }
};

class BackwardWorker {
 public:
  BackwardWorker(const Problem& p, const BackwardInputs& in, const BackwardOutputs& out, const Primitives& primitives)
      : p_(p), in_(in), out_(out), prim_(primitives), z_(p, primitives) {
    scores_.Resize(prim_.tile_rows * kScoreLd);
    grad_scores_.Resize(prim_.tile_rows * kScoreLd);
    if (p_.dropout.active) dropped_.Resize(prim_.tile_rows * kScoreLd);
    if (p_.softcap > 0.0f) slopes_.Resize(prim_.tile_rows * kScoreLd);
    grad_key_.Resize(kTileKeys * z_.depth_ld);
    grad_value_.Resize(kTileKeys * z_.value_ld);
    z_.planes ? Allocate16() : Allocate32();
  }

  // `grad_query` [group * q_len or q_len][depth_ld]: rows of the group's heads, `head_stride` apart (0: one head at a
  // time, written out as soon as it is complete).
  void Run(const BackwardTask& task, float* grad_query, std::int64_t head_stride) {
    for (const Sequence* s : task.sequences) {
      if (s->q_len == 0) continue;
      const std::int64_t key_end = std::min(task.key_end, s->kv_len);
      const Pieces pieces = p_.batch_invariant && task.parts == 1 ? InvariantPieces(key_end) : Pieces{key_end, 1};
      if (p_.Group() > 1) ReserveKeyGradients(key_end - task.key_begin);
      for (std::int64_t g = 0; g < p_.Group(); ++g) {
        RowRange rows{s, task.kv_head, g * s->q_len, (g + 1) * s->q_len};
        float* dq = grad_query + g * head_stride;
        std::fill_n(dq, s->q_len * z_.depth_ld, 0.0f);
        LoadStatistics(rows, task.part == 0);
        for (std::int64_t i = 0; i < pieces.count; ++i) {
          const std::int64_t begin = std::max(task.key_begin, pieces.Begin(i));
          if (i == 0) {
            WalkKeys(rows, begin, pieces.End(i), task.key_begin, dq);
            continue;
          }
          const std::int64_t count = s->q_len * z_.depth_ld;
          if (i == 1) piece_query_.Resize(count);
          std::fill_n(piece_query_.data(), count, 0.0f);
          WalkKeys(rows, begin, pieces.End(i), task.key_begin, piece_query_.data());
          for (std::int64_t x = 0; x < count; ++x) dq[x] += piece_query_[x];
        }
        if (head_stride == 0) StoreQueryGradient(rows, dq);
      }
    }
  }

  void StoreQueryGradient(const RowRange& rows, const float* grad) {
    const Sequence& s = *rows.sequence;
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      const float* row = grad + (r - rows.begin) * z_.depth_ld;
      const std::int64_t head = rows.QueryHead(p_, r), token = s.q_first + rows.Token(r);
      prim_.from_f32(p_.head_dim, row, 1.0f, p_.dtype, out_.grad_query.At(s.batch, head, token));
      if (p_.rope_dim) {
        prim_.from_f32(p_.rope_dim, row + z_.rope_at, 1.0f, p_.dtype, out_.grad_query_rope.At(s.batch, head, token));
      }
    }
  }

 private:
  void Allocate32() {
    query_.Resize(prim_.tile_rows * z_.depth_ld);
    grad_out_.Resize(prim_.tile_rows * z_.value_ld);
    key_.Resize(kTileKeys * z_.depth_ld);
    key_t_.Resize(z_.depth * kScoreLd);
    value_t_.Resize(p_.value_dim * kScoreLd);
  }

  void Allocate16() {
    const std::int64_t rows = prim_.tile_rows, row_ld = (rows + 2 * kSkew - 1) / (2 * kSkew) * 2 * kSkew;
    query16_.Resize(rows, z_.depth_ld, z_.planes);
    query16_pairs_.Resize(rows + 2, z_.depth_ld, z_.planes);
    grad_out16_.Resize(rows, z_.value_ld, z_.planes);
    grad_out16_pairs_.Resize(rows + 2, z_.value_ld, z_.planes);
    key16_pairs_.Resize(kTileKeys + 2, z_.depth_ld, z_.planes);
    key16_t_.Resize(z_.depth + 2, kScoreLd, z_.planes);
    value16_t_.Resize(p_.value_dim + 2, kScoreLd, z_.planes);
    p16_t_.Resize(kTileKeys, row_ld, z_.planes);
    ds16_t_.Resize(kTileKeys, row_ld, z_.planes);
    ds16_.Resize(rows, kScoreLd16, z_.planes);
  }

  void ReserveKeyGradients(std::int64_t keys) {
    if (keys <= reserved_keys_) return;
    reserved_keys_ = keys;
    head_key_.Resize(keys * z_.depth_ld);
    head_value_.Resize(keys * z_.value_ld);
  }

  std::int64_t StatisticAt(const Sequence& s, std::int64_t head, std::int64_t token) const {
    return (s.statistics_first + head * s.statistics_head + token * s.statistics_row) * kStatisticsWidth;
  }

  // Per row of one head: shift and factor that turn scores into probabilities, and delta = dO . O.
  void LoadStatistics(const RowRange& rows, bool with_sink) {
    const Sequence& s = *rows.sequence;
    shift_.resize(s.q_len);
    factor_.resize(s.q_len);
    delta_.resize(s.q_len);
    std::vector<float> out(z_.value_ld), grad(z_.value_ld);
    double sink = 0.0;
    const std::int64_t head = rows.QueryHead(p_, rows.begin);
    for (std::int64_t i = 0; i < s.q_len; ++i) {
      const std::int64_t at = StatisticAt(s, head, i);
      shift_[i] = in_.softmax_max[at];
      const float sum = in_.softmax_sum[at];
      factor_[i] = sum == 0.0f ? 0.0f : 1.0f / sum;
      prim_.to_f32(p_.value_dim, in_.out.At(s.batch, head, s.q_first + i), p_.dtype, out.data());
      prim_.to_f32(p_.value_dim, in_.grad_out.At(s.batch, head, s.q_first + i), p_.dtype, grad.data());
      float dot = 0.0f;
      for (std::int64_t x = 0; x < p_.value_dim; ++x) dot += out[x] * grad[x];
      delta_[i] = dot;
      if (p_.sink && sum != 0.0f) sink -= static_cast<double>(std::exp(p_.sink[head] - shift_[i]) * factor_[i]) * dot;
    }
    if (with_sink && out_.grad_sink) out_.grad_sink[GradSinkAt(s, head)] = static_cast<float>(sink);
  }

  std::int64_t GradSinkAt(const Sequence& s, std::int64_t head) const {
    return (&s - p_.sequences.data()) * p_.heads + head;
  }

  void PackKeys(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t keys) {
    p_.key.Pointers(s, head, first, keys, pointers_);
    PackKeyPart(p_.head_dim, 0, keys);
    if (p_.rope_dim) {
      p_.key_rope.Pointers(s, head, first, keys, pointers_);
      PackKeyPart(p_.rope_dim, z_.rope_at, keys);
    }
    p_.value.Pointers(s, head, first, keys, pointers_);
    if (z_.planes) {
      prim_.pack_transposed_vnni_bf16(pointers_, p_.dtype, keys, p_.value_dim, value16_t_.All());
    } else {
      prim_.pack_transposed_f32(pointers_, p_.dtype, keys, p_.value_dim, value_t_.data(), kScoreLd);
    }
  }

  void PackKeyPart(std::int64_t channels, std::int64_t at, std::int64_t keys) {
    if (z_.planes) {
      prim_.pack_vnni_bf16(pointers_, p_.dtype, keys, channels, key16_pairs_.From(at * 2));
      prim_.pack_transposed_vnni_bf16(pointers_, p_.dtype, keys, channels, key16_t_.From(at * kScoreLd));
    } else {
      prim_.pack_f32(pointers_, p_.dtype, keys, channels, key_.data() + at, z_.depth_ld);
      prim_.pack_transposed_f32(pointers_, p_.dtype, keys, channels, key_t_.data() + at * kScoreLd, kScoreLd);
    }
  }

  void PackRows(const RowRange& tile) {
    PackQueryPart(tile, p_.query, p_.head_dim, 0);
    if (p_.rope_dim) PackQueryPart(tile, p_.query_rope, p_.rope_dim, z_.rope_at);
    RowPointers(p_, in_.grad_out, tile, pointers_);
    if (z_.planes) {
      prim_.pack_bf16(pointers_, p_.dtype, tile.Count(), p_.value_dim, grad_out16_.All());
      prim_.pack_vnni_bf16(pointers_, p_.dtype, tile.Count(), p_.value_dim, grad_out16_pairs_.All());
    } else {
      prim_.pack_f32(pointers_, p_.dtype, tile.Count(), p_.value_dim, grad_out_.data(), z_.value_ld);
    }
  }

  void PackQueryPart(const RowRange& tile, const Strided& source, std::int64_t channels, std::int64_t at) {
    RowPointers(p_, source, tile, pointers_);
    if (z_.planes) {
      prim_.pack_bf16(pointers_, p_.dtype, tile.Count(), channels, query16_.From(at));
      prim_.pack_vnni_bf16(pointers_, p_.dtype, tile.Count(), channels, query16_pairs_.From(at * 2));
    } else {
      prim_.pack_f32(pointers_, p_.dtype, tile.Count(), channels, query_.data() + at, z_.depth_ld);
    }
  }

  // The rows of one head against keys [begin, end) of a task that begins at `task_begin`.
  void WalkKeys(const RowRange& rows, std::int64_t begin, std::int64_t end, std::int64_t task_begin, float* dq) {
    const bool accumulate = p_.Group() > 1;
    const bool first_head = rows.begin == 0, last_head = rows.end == p_.Group() * rows.sequence->q_len;
    for (std::int64_t first = begin; first < end; first += kTileKeys) {
      const std::int64_t keys = std::min(kTileKeys, end - first);
      float* dk = accumulate ? head_key_.data() + (first - task_begin) * z_.depth_ld : grad_key_.data();
      float* dv = accumulate ? head_value_.data() + (first - task_begin) * z_.value_ld : grad_value_.data();
      if (first_head) {
        std::fill_n(dk, keys * z_.depth_ld, 0.0f);
        std::fill_n(dv, keys * z_.value_ld, 0.0f);
      }
      WalkRows(rows, first, keys, dq, dk, dv);
      if (last_head) StoreKeyGradients(*rows.sequence, rows.kv_head, first, keys, dk, dv);
    }
  }

  void WalkRows(const RowRange& rows, std::int64_t first, std::int64_t keys, float* dq, float* dk, float* dv) {
    bool packed = false;
    for (std::int64_t at = 0; at < rows.Count(); at += prim_.tile_rows) {
      RowRange tile = rows;
      tile.begin = rows.begin + at;
      tile.end = std::min(rows.end, tile.begin + prim_.tile_rows);
      window_.Classify(tile, first, keys);
      if (window_.kind == TileKind::kSkipped) continue;
      if (!packed) PackKeys(*rows.sequence, rows.kv_head, first, keys);
      packed = true;
      PackRows(tile);
      const Columns visible = window_.Narrow(tile.Count(), keys);
      Products(tile.Count(), visible);
      GradientOfScores(tile, at, first + visible.first, visible.count);
      Accumulate(tile.Count(), visible, dq + at * z_.depth_ld, dk, dv);
    }
  }

  // scores = Q K^T, grad_scores = dO V^T
  void Products(std::int64_t rows, Columns keys) {
    const std::int64_t n = PadLane(keys.count), at = keys.first;
    if (z_.planes) {
      prim_.gemm_bf16(rows, n, z_.depth, query16_.All(), key16_t_.From(2 * at), scores_.data(), kScoreLd, false);
      prim_.gemm_bf16(rows, n, p_.value_dim + p_.value_dim % 2, grad_out16_.All(), value16_t_.From(2 * at),
                      grad_scores_.data(), kScoreLd, false);
    } else {
      prim_.gemm_f32(rows, n, z_.depth, query_.data(), z_.depth_ld, 1, key_t_.data() + at, kScoreLd, scores_.data(),
                     kScoreLd, false);
      prim_.gemm_f32(rows, n, p_.value_dim, grad_out_.data(), z_.value_ld, 1, value_t_.data() + at, kScoreLd,
                     grad_scores_.data(), kScoreLd, false);
    }
  }

  // scores -> probabilities; grad_scores -> gradient of scale * (q . k), after the bias took its share.
  void GradientOfScores(const RowRange& tile, std::int64_t at, std::int64_t first, std::int64_t keys) {
    const bool capped = p_.softcap > 0.0f;
    const float scale = CapBiasAndMask(p_, prim_, tile, first, keys, scores_.data(), kScoreLd, slopes_.data());
    prim_.exp_rows(tile.Count(), keys, scores_.data(), kScoreLd, window_.Rows(), scale, shift_.data() + at,
                   factor_.data() + at);
    if (p_.dropout.active) {
      std::copy_n(scores_.data(), tile.Count() * kScoreLd, dropped_.data());
      ApplyDropout(p_, prim_, tile, first, keys, dropped_.data(), kScoreLd);
      ApplyDropout(p_, prim_, tile, first, keys, grad_scores_.data(), kScoreLd);
    }
    const bool biased = out_.grad_bias != nullptr;
    prim_.softmax_grad_rows(tile.Count(), keys, scores_.data(), kScoreLd, grad_scores_.data(), kScoreLd,
                            delta_.data() + at, biased || capped ? 1.0f : p_.scale);
    if (biased) AddBiasGradient(p_, out_, tile, first, keys, grad_scores_.data(), kScoreLd);
    for (std::int64_t i = 0; (biased || capped) && i < tile.Count(); ++i) {
      float* row = grad_scores_.data() + i * kScoreLd;
      const float* slope = capped ? slopes_.data() + i * kScoreLd : nullptr;
      for (std::int64_t j = 0; j < keys; ++j) row[j] *= slope ? p_.scale * slope[j] : p_.scale;
    }
  }

  // dV += P^T dO, dK += dS^T Q, dQ += dS K
  void Accumulate(std::int64_t rows, Columns columns, float* dq, float* dk, float* dv) {
    const std::int64_t keys = columns.count, key_at = columns.first * z_.depth_ld;
    dk += key_at;
    dv += columns.first * z_.value_ld;
    const float* probabilities = p_.dropout.active ? dropped_.data() : scores_.data();
    if (!z_.planes) {
      prim_.gemm_f32(keys, z_.value_ld, rows, probabilities, 1, kScoreLd, grad_out_.data(), z_.value_ld, dv,
                     z_.value_ld, true);
      prim_.gemm_f32(keys, z_.depth_ld, rows, grad_scores_.data(), 1, kScoreLd, query_.data(), z_.depth_ld, dk,
                     z_.depth_ld, true);
      prim_.gemm_f32(rows, z_.depth_ld, keys, grad_scores_.data(), kScoreLd, 1, key_.data() + key_at, z_.depth_ld, dq,
                     z_.depth_ld, true);
      return;
    }
    const std::int64_t even_rows = rows + rows % 2;
    prim_.transpose_bf16(rows, keys, probabilities, kScoreLd, p16_t_.All());
    prim_.gemm_bf16(keys, z_.value_ld, even_rows, p16_t_.All(), grad_out16_pairs_.All(), dv, z_.value_ld, true);
    prim_.transpose_bf16(rows, keys, grad_scores_.data(), kScoreLd, ds16_t_.All());
    prim_.gemm_bf16(keys, z_.depth_ld, even_rows, ds16_t_.All(), query16_pairs_.All(), dk, z_.depth_ld, true);
    prim_.round_bf16(rows, PadLane(keys), grad_scores_.data(), kScoreLd, ds16_.All());
    prim_.gemm_bf16(rows, z_.depth_ld, keys + keys % 2, ds16_.All(), key16_pairs_.From(key_at), dq, z_.depth_ld, true);
  }

  void StoreKeyGradients(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t keys, const float* dk,
                         const float* dv) {
    for (std::int64_t j = 0; j < keys; ++j) {
      const std::int64_t token = s.kv_first + first + j;
      const float* key_row = dk + j * z_.depth_ld;
      prim_.from_f32(p_.head_dim, key_row, 1.0f, p_.dtype, out_.grad_key.At(s.batch, head, token));
      prim_.from_f32(p_.value_dim, dv + j * z_.value_ld, 1.0f, p_.dtype, out_.grad_value.At(s.batch, head, token));
      if (p_.rope_dim) {
        prim_.from_f32(p_.rope_dim, key_row + z_.rope_at, 1.0f, p_.dtype, out_.grad_key_rope.At(s.batch, head, token));
      }
    }
  }

  const Problem& p_;
  const BackwardInputs& in_;
  const BackwardOutputs& out_;
  const Primitives& prim_;
  Sizes z_;
  TileWindow window_;
  const void* pointers_[kTileKeys];
  std::vector<float> shift_, factor_, delta_;
  Buffer<float> query_, grad_out_, key_, key_t_, value_t_;
  PlaneBuffer query16_, query16_pairs_, grad_out16_, grad_out16_pairs_, key16_pairs_, key16_t_, value16_t_;
  PlaneBuffer p16_t_, ds16_t_, ds16_;
  Buffer<float> scores_, grad_scores_, dropped_, slopes_, grad_key_, grad_value_;
  Buffer<float> piece_query_;
  Buffer<float> head_key_, head_value_;  // gradients of all keys of a task while a group's heads add to them
  std::int64_t reserved_keys_ = 0;
};

// Query gradients of divided tasks: one buffer for each part, added up in order.
class SharedQueryGradients {
 public:
  SharedQueryGradients(const Problem& p, const Sizes& z, const std::vector<BackwardTask>& tasks) : p_(p), z_(z) {
    std::int64_t rows = 0;
    for (const BackwardTask& t : tasks) {
      first_row_.push_back(rows);
      if (t.parts > 1) rows += t.sequences[0]->q_len * p.Group();
    }
    buffer_.Resize(rows * z.depth_ld);
  }

  float* Of(std::size_t task) const { return buffer_.data() + first_row_[task] * z_.depth_ld; }

  void Store(const std::vector<BackwardTask>& tasks, BackwardWorker* worker) const {
    for (std::size_t t = 0; t < tasks.size(); t += tasks[t].parts) {
      if (tasks[t].parts == 1) continue;
      const Sequence& s = *tasks[t].sequences[0];
      const std::int64_t count = s.q_len * p_.Group() * z_.depth_ld;
      float* total = Of(t);
      for (std::int64_t part = 1; part < tasks[t].parts; ++part) {
        const float* other = Of(t + part);
        for (std::int64_t x = 0; x < count; ++x) total[x] += other[x];
      }
      worker->StoreQueryGradient({&s, tasks[t].kv_head, 0, s.q_len * p_.Group()}, total);
    }
  }

 private:
  const Problem& p_;
  const Sizes& z_;
  std::vector<std::int64_t> first_row_;
  Buffer<float> buffer_;
};

}  // namespace

void Backward(const Problem& p, const BackwardInputs& inputs, const BackwardOutputs& outputs,
              const Executor& executor) {
  const Primitives& primitives = BestPrimitives();
  const Sizes sizes(p, primitives);
  std::int64_t work = 0, longest = 0;
  for (const Sequence& s : p.sequences) {
    work += s.q_len * s.kv_len * p.heads * (p.head_dim + p.value_dim);
    longest = std::max(longest, s.q_len);
  }
  const int threads = work < kSerialWork ? 1 : executor.threads;
  const std::vector<BackwardTask> tasks = MakeTasks(p, outputs, threads);
  const SharedQueryGradients shared(p, sizes, tasks);
  std::atomic<std::size_t> next{0};
  const auto body = [&](int) {
    const ProductsOfThread products(primitives);
    BackwardWorker worker(p, inputs, outputs, primitives);
    Buffer<float> grad_query(longest * sizes.depth_ld);
    for (std::size_t i = next++; i < tasks.size(); i = next++) {
      const bool divided = tasks[i].parts > 1;
      const std::int64_t head_stride = divided ? tasks[i].sequences[0]->q_len * sizes.depth_ld : 0;
      worker.Run(tasks[i], divided ? shared.Of(i) : grad_query.data(), head_stride);
    }
  };
  executor.run(static_cast<int>(std::min<std::size_t>(threads, std::max<std::size_t>(1, tasks.size()))), body);
  if (std::any_of(tasks.begin(), tasks.end(), [](const BackwardTask& t) { return t.parts > 1; })) {
    BackwardWorker worker(p, inputs, outputs, primitives);
    shared.Store(tasks, &worker);
  }
}

}  // namespace npufa::cpu
