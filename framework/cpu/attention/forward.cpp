// Flash attention forward: prefill, training and decode. Scores exist one tile at a time (Dao 2023, FlashAttention-2);
// decode with few tasks splits the keys and merges partial results by their log-sum-exp (Flash-Decoding).
#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "decode_worker.h"
#include "forward_tasks.h"

namespace npufa::cpu {

namespace {

constexpr float kNegInf = -std::numeric_limits<float>::infinity();

// Distance between accumulator rows.
std::int64_t AccumulatorLd(const Problem& p) { return PadLane(p.value_dim); }

// Unnormalised result of rows: accumulator, running maximum and sum.
struct Partial {
  float* acc;
  float* max;
  float* sum;

  Partial From(std::int64_t row, std::int64_t ld) const { return {acc + row * ld, max + row, sum + row}; }
};

// Memory of partial results.
class PartialBuffer {
 public:
  PartialBuffer(std::int64_t rows, std::int64_t ld) : acc_(rows * ld), max_(rows), sum_(rows) {}
  Partial Get() const { return {acc_.data(), max_.data(), sum_.data()}; }

 private:
  Buffer<float> acc_, max_, sum_;
};

void Clear(std::int64_t rows, std::int64_t ld, const Partial& total) {
  std::fill_n(total.acc, rows * ld, 0.0f);
  std::fill_n(total.max, rows, kNegInf);
  std::fill_n(total.sum, rows, 0.0f);
}

// Takes the result over further keys into `total`.
void Add(std::int64_t rows, std::int64_t ld, const Partial& part, const Partial& total) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float m = part.max[r];
    if (m == kNegInf) continue;
    const float top = m > total.max[r] || std::isnan(m) ? m : total.max[r];
    const float before = total.max[r] == kNegInf ? 0.0f : std::exp(total.max[r] - top), added = std::exp(m - top);
    float* acc = total.acc + r * ld;
    for (std::int64_t x = 0; x < ld; ++x) acc[x] = before * acc[x] + added * part.acc[r * ld + x];
    total.sum[r] = before * total.sum[r] + added * part.sum[r];
    total.max[r] = top;
  }
}

class Finisher {
 public:
  Finisher(const Problem& p, const ForwardOutputs& o, const Primitives& primitives)
      : p_(p), o_(o), primitives_(primitives) {}

  void FinishAll(const RowRange& rows, const Partial& result, std::int64_t ld) {
    for (std::int64_t r = 0; r < rows.Count(); ++r) {
      Finish(rows, rows.begin + r, result.acc + r * ld, result.max[r], result.sum[r]);
    }
  }

 private:
  void Finish(const RowRange& rows, std::int64_t r, const float* acc, float max, float sum) {
    const Sequence& s = *rows.sequence;
    const std::int64_t head = rows.QueryHead(p_, r);
    const std::int64_t token = rows.Token(r);
    const bool keys = max != kNegInf;
    const float weight = keys && p_.sink ? AddSink(p_.sink[head], &max, &sum) : 1.0f;
    const float factor = keys ? p_.product_scale * weight / sum : 0.0f;
    char* out = o_.out.At(s.batch, head, s.q_first + token);
    if (o_.quantisation.scale) {
      Quantise(acc, keys, factor, head, reinterpret_cast<std::int8_t*>(out));
    } else {
      primitives_.from_f32(p_.value_dim, acc, factor, p_.out_dtype, out);
    }
    if (o_.softmax_max) {
      const std::int64_t at =
          (s.statistics_first + head * s.statistics_head + token * s.statistics_row) * kStatisticsWidth;
      std::fill_n(o_.softmax_max + at, kStatisticsWidth, keys ? max : 0.0f);
      std::fill_n(o_.softmax_sum + at, kStatisticsWidth, keys ? sum : 0.0f);
    }
    if (o_.softmax_lse) {
      o_.softmax_lse[s.batch * o_.lse_batch + head * o_.lse_head + (s.q_first + token) * o_.lse_token] =
          keys ? max + std::log(sum) : std::numeric_limits<float>::infinity();
    }
  }

  // Takes the sink into maximum and sum; returns what the accumulator, still relative to the old maximum, is to be
  // multiplied by.
  static float AddSink(float sink, float* max, float* sum) {
    const float top = sink > *max ? sink : *max;
    const float weight = std::exp(*max - top);
    *sum = *sum * weight + std::exp(sink - top);
    *max = top;
    return weight;
  }

  void Quantise(const float* acc, bool keys, float factor, std::int64_t head, std::int8_t* out) const {
    const OutputQuantisation& q = o_.quantisation;
    for (std::int64_t x = 0; x < p_.value_dim; ++x) {
      const std::int64_t at = head * q.head + x * q.channel;
      const float value = std::nearbyint(acc[x] * factor * q.scale[at] + (q.offset ? q.offset[at] : 0.0f));
      out[x] = !keys ? 0 : value >= 127.0f ? 127 : value > -128.0f ? static_cast<std::int8_t>(value) : -128;
    }
  }

  const Problem& p_;
  const ForwardOutputs& o_;
  const Primitives& primitives_;
};

class ForwardWorker {
 public:
  // `max_rows` is the largest row count of a task.
  ForwardWorker(const Problem& p, const Primitives& primitives, std::int64_t max_rows)
      : p_(p), prim_(primitives), decode_(p, primitives), acc_ld_(AccumulatorLd(p)),
        keys_(p, primitives, p.key, p.key_antiquant, p.head_dim),
        values_(p, primitives, p.value, p.value_antiquant, p.value_dim),
        ropes_(p.key_rope, p.rope_dim * SizeOf(p.rope_dtype)),
        planes_(p.Quantised() || p.dtype == DType::kInt8 ? 0 : primitives.planes.Of(p.dtype)), max_rows_(max_rows) {
    const std::int64_t even = planes_ ? 2 : 1;
    rope_at_ = (p.head_dim + even - 1) / even * even;
    depth_ = p.rope_dim ? rope_at_ + (p.rope_dim + even - 1) / even * even : rope_at_;
    query_ld_ = PadLane(rope_at_) + PadLane(p.rope_dim);
    value_ld_ = acc_ld_ + kSkew;
    accumulators_.Resize(max_rows * (acc_ld_ + 2));
    max_ = accumulators_.data() + max_rows * acc_ld_;
    sum_ = max_ + max_rows;
  }

  // Result of the task's rows, unnormalised.
  Partial Run(const ForwardTask& task) {
    const std::int64_t rows = task.rows.Count();
    const Partial result{accumulators_.data(), max_, sum_};
    Clear(rows, acc_ld_, result);
    if (task.key_begin >= task.key_end) return result;
    if (decode_.Takes(task.rows)) {
      decode_.Run(task.rows, task.key_begin, task.key_end, result.acc, acc_ld_, result.max, result.sum);
      return result;
    }
    Allocate();
    LoadQuery(task.rows);
    for (std::int64_t first = task.key_begin; first < task.key_end; first += kTileKeys) {
      PackedKeys(task.rows, first, std::min(kTileKeys, task.key_end - first));
    }
    return result;
  }

 private:
  void Allocate() {
    if (scores_.data() != nullptr) return;
    pointers_.resize(max_rows_);
    scores_.Resize(prim_.tile_rows * kScoreLd);
    if (planes_) {
      query16_.Resize(max_rows_, query_ld_, planes_);
      key16_.Resize(depth_ + 2, kScoreLd, planes_);
      value16_.Resize(kTileKeys + 2, value_ld_, planes_);
      p16_.Resize(prim_.tile_rows, kScoreLd16, planes_);
    } else {
      query_.Resize(max_rows_ * query_ld_);
      key_.Resize(depth_ * kScoreLd);
      value_.Resize(kTileKeys * value_ld_);
    }
  }

  void LoadQuery(const RowRange& rows) {
    LoadQueryPart(rows, p_.query, p_.dtype, p_.head_dim, 0);
    if (p_.rope_dim) LoadQueryPart(rows, p_.query_rope, p_.rope_dtype, p_.rope_dim, rope_at_);
    if (p_.QuantisedQuery()) ScaleQuery(p_, rows, depth_, query_.data(), query_ld_);
  }

  void LoadQueryPart(const RowRange& rows, const Strided& source, DType dtype, std::int64_t channels, std::int64_t at) {
    RowPointers(p_, source, rows, pointers_.data());
    if (planes_) {
      prim_.pack_bf16(pointers_.data(), dtype, rows.Count(), channels, query16_.From(at));
    } else {
      prim_.pack_f32(pointers_.data(), dtype, rows.Count(), channels, query_.data() + at, query_ld_);
    }
  }

  void PackKeys(const RowRange& rows, std::int64_t first, std::int64_t keys) {
    const Sequence& s = *rows.sequence;
    const RowBlock v = values_.Load(s, rows.kv_head, first, keys);
    PackKeyPart(keys_.Load(s, rows.kv_head, first, keys), keys, p_.head_dim, 0);
    if (planes_) {
      prim_.pack_vnni_bf16(v.rows, v.dtype, keys, p_.value_dim, value16_.All());
    } else {
      prim_.pack_f32(v.rows, v.dtype, keys, p_.value_dim, value_.data(), value_ld_);
    }
    if (p_.rope_dim == 0) return;
    p_.key_rope.Pointers(s, rows.kv_head, first, keys, rope_pointers_);
    ropes_.Join(keys, rope_pointers_);
    PackKeyPart({rope_pointers_, p_.rope_dtype}, keys, p_.rope_dim, rope_at_);
  }

  void PackKeyPart(const RowBlock& k, std::int64_t keys, std::int64_t channels, std::int64_t at) {
    if (planes_) {
      prim_.pack_transposed_vnni_bf16(k.rows, k.dtype, keys, channels, key16_.From(at * kScoreLd));
    } else {
      prim_.pack_transposed_f32(k.rows, k.dtype, keys, channels, key_.data() + at * kScoreLd, kScoreLd);
    }
  }

  void PackedKeys(const RowRange& rows, std::int64_t first, std::int64_t keys) {
    bool packed = false;
    for (std::int64_t at = 0; at < rows.Count(); at += prim_.tile_rows) {
      RowRange tile = rows;
      tile.begin = rows.begin + at;
      tile.end = std::min(rows.end, tile.begin + prim_.tile_rows);
      window_.Classify(tile, first, keys);
      if (window_.kind == TileKind::kSkipped) continue;
      if (!packed) PackKeys(rows, first, keys);
      packed = true;
      const Columns visible = window_.Narrow(tile.Count(), keys);
      ScoreTile(tile, at, visible);
      Softmax(tile, at, first + visible.first, visible.count);
      float* acc = accumulators_.data() + at * acc_ld_;
      const std::int64_t value_at = visible.first * value_ld_;
      if (planes_) {
        prim_.gemm_bf16(tile.Count(), acc_ld_, visible.count + visible.count % 2, p16_.All(), value16_.From(value_at),
                        acc, acc_ld_, true);
      } else {
        prim_.gemm_f32(tile.Count(), acc_ld_, visible.count, scores_.data(), kScoreLd, 1, value_.data() + value_at,
                       value_ld_, acc, acc_ld_, true);
      }
    }
  }

  void ScoreTile(const RowRange& tile, std::int64_t at, Columns keys) {
    const std::int64_t n = PadLane(keys.count), query_at = at * query_ld_;
    if (planes_) {
      prim_.gemm_bf16(tile.Count(), n, depth_, query16_.From(query_at), key16_.From(2 * keys.first), scores_.data(),
                      kScoreLd, false);
    } else {
      prim_.gemm_f32(tile.Count(), n, depth_, query_.data() + query_at, query_ld_, 1, key_.data() + keys.first,
                     kScoreLd, scores_.data(), kScoreLd, false);
    }
  }

  // Turns the score tile into probabilities, those of planes in p16_, and rescales the accumulators.
  void Softmax(const RowRange& tile, std::int64_t at, std::int64_t first, std::int64_t keys) {
    float correction[kMaxTileRows];
    const float scale = CapBiasAndMask(p_, prim_, tile, first, keys, scores_.data(), kScoreLd);
    const bool direct = planes_ && !p_.dropout.active;
    prim_.softmax_rows(tile.Count(), keys, scores_.data(), kScoreLd, window_.Rows(), scale, max_ + at, sum_ + at,
                       correction, direct ? p16_.All() : Bf16Planes{});
    if (p_.dropout.active) ApplyDropout(p_, prim_, tile, first, keys, scores_.data(), kScoreLd);
    if (p_.quantised_products) {
      for (std::int64_t i = 0; i < tile.Count(); ++i) {
        prim_.quantize_row(keys, scores_.data() + i * kScoreLd, p_.p_scale);
      }
    }
    if (planes_ && !direct) {
      prim_.round_bf16(tile.Count(), PadLane(keys), scores_.data(), kScoreLd, p16_.All());
    }
    if (std::any_of(correction, correction + tile.Count(), [](float c) { return c != 1.0f; })) {
      prim_.scale_rows(tile.Count(), acc_ld_, accumulators_.data() + at * acc_ld_, acc_ld_, correction);
    }
  }

  const Problem& p_;
  const Primitives& prim_;
  DecodeWorker decode_;
  std::int64_t acc_ld_;
  RowLoader keys_, values_;
  NzRows ropes_;
  std::int64_t planes_;  // of bfloat16; 0: float32
  std::int64_t max_rows_;
  std::int64_t rope_at_ = 0, depth_ = 0, query_ld_ = 0, value_ld_ = 0;
  std::vector<const void*> pointers_;
  const void* rope_pointers_[kTileKeys];
  TileWindow window_;
  Buffer<float> query_, key_, value_, scores_, accumulators_;
  float *max_, *sum_;  // behind the accumulators
  PlaneBuffer query16_, key16_, value16_, p16_;
};

// Merges the parts of every task, which are adjacent, in order.
void MergeParts(const std::vector<ForwardTask>& parts, const Partial& all, const PartialBuffer& memory, std::int64_t ld,
                Finisher* finisher) {
  const Partial total = memory.Get();
  for (std::size_t i = 0; i < parts.size();) {
    const ForwardTask& first = parts[i];
    const std::int64_t rows = first.rows.Count();
    const auto is_part_of_it = [&](const ForwardTask& t) {
      return t.rows.sequence == first.rows.sequence && t.rows.kv_head == first.rows.kv_head &&
             t.rows.begin == first.rows.begin;
    };
    if (first.partial < 0) {
      ++i;
      continue;
    }
    Clear(rows, ld, total);
    for (; i < parts.size() && is_part_of_it(parts[i]); ++i) Add(rows, ld, all.From(parts[i].partial, ld), total);
    finisher->FinishAll(first.rows, total, ld);
  }
}

// The result of a task that finishes its rows.
Partial RunWhole(const Problem& p, const ForwardTask& task, const PartialBuffer& memory, ForwardWorker* worker) {
  if (!p.batch_invariant || !task.HasPieces()) return worker->Run(task);
  const std::int64_t rows = task.rows.Count(), ld = AccumulatorLd(p);
  const Partial total = memory.Get();
  Clear(rows, ld, total);
  for (ForwardTask piece = task; piece.key_begin < task.key_end; piece.key_begin = piece.key_end) {
    piece.key_end = task.PieceEnd(piece.key_begin);
    Add(rows, ld, worker->Run(piece), total);
  }
  return total;
}

}  // namespace

void Forward(const Problem& p, const ForwardOutputs& outputs, const Executor& executor) {
  const Primitives& primitives = BestPrimitives();
  std::int64_t partial_rows = 0;
  std::vector<ForwardTask> tasks = MakeTasks(p, primitives.tile_rows);
  std::int64_t work = 0, max_rows = 0;
  for (const ForwardTask& t : tasks) {
    work += Work(p, t);
    max_rows = std::max(max_rows, t.rows.Count());
  }
  const int threads = work < kSerialWork ? 1 : executor.threads;
  tasks = SplitKeys(p, std::move(tasks), threads, &partial_rows);
  const std::int64_t ld = AccumulatorLd(p);
  const PartialBuffer parts(partial_rows, ld);

  // Long tasks first, so that the last ones to finish are short; every task is computed alone, whatever the order.
  std::vector<std::size_t> order(tasks.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (order.size() > 1) {
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return Work(p, tasks[a]) > Work(p, tasks[b]); });
  }
  std::atomic<std::size_t> next{0};
  const auto body = [&](int) {
    const ProductsOfThread products(primitives);
    ForwardWorker worker(p, primitives, max_rows);
    Finisher finisher(p, outputs, primitives);
    const PartialBuffer total(p.batch_invariant ? max_rows : 0, ld);
    for (std::size_t i = next++; i < order.size(); i = next++) {
      const ForwardTask& task = tasks[order[i]];
      const std::int64_t rows = task.rows.Count();
      if (task.partial < 0) {
        finisher.FinishAll(task.rows, RunWhole(p, task, total, &worker), ld);
        continue;
      }
      const Partial result = worker.Run(task), target = parts.Get().From(task.partial, ld);
      std::copy_n(result.acc, rows * ld, target.acc);
      std::copy_n(result.max, rows, target.max);
      std::copy_n(result.sum, rows, target.sum);
    }
  };
  const auto workers = std::min<std::size_t>(threads, std::max<std::size_t>(1, tasks.size()));
  executor.run(static_cast<int>(workers), std::ref(body));
  if (partial_rows > 0) {
    Finisher finisher(p, outputs, primitives);
    MergeParts(tasks, parts.Get(), PartialBuffer(max_rows, ld), ld, &finisher);
  }
}

}  // namespace npufa::cpu
