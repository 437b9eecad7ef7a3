// An attention problem as the CPU loops see it: addresses with strides, sequences, and per-score policies. Torch-free.
#pragma once

#include <functional>
#include <vector>

#include "dtype.h"
#include "mask_window.h"

namespace npufa::cpu {

// One sequence of the batch. Rows i < q_len and keys j < kv_len take part; `q_first` and `kv_first` are the storage
// positions of row 0 and of the first key behind the shared prefix.
struct Sequence {
  std::int64_t batch = 0;
  std::int64_t q_len = 0, kv_len = 0, prefix_len = 0;
  std::int64_t q_first = 0, kv_first = 0;
  Band band;
  // Masks and biases are indexed by (i + mask_row, j + mask_column).
  std::int64_t mask_row = 0, mask_column = 0;
  // Score (n, i, j) is element dropout_first + (n * dropout_rows + i) * dropout_columns + j of the dropout mask.
  std::int64_t dropout_first = 0, dropout_rows = 0, dropout_columns = 0;
  // Statistics of (n, i) lie at statistics_first + n * statistics_head + i * statistics_row, in statistics, not floats.
  std::int64_t statistics_first = 0, statistics_head = 0, statistics_row = 0;
};

// Rows of contiguous channels addressed by batch, head and token; strides in bytes.
struct Strided {
  char* data = nullptr;
  std::int64_t batch = 0, head = 0, token = 0;

  char* At(std::int64_t b, std::int64_t h, std::int64_t t) const { return data + b * batch + h * head + t * token; }
};

// Key or value rows: a strided tensor, optionally behind a shared prefix, or the blocks of a paged cache. Those of an NZ
// cache are no rows yet: see nz_rows.h.
struct RowSource {
  Strided rows;    // paged: `batch` is the stride of a block, `token` that of a token within it
  Strided prefix;  // batch 1
  const std::int32_t* block_table = nullptr;
  std::int64_t table_stride = 0, block_size = 0;
  std::int64_t piece_distance = 0;  // NZ: bytes from one piece of a row to the next

  void Pointers(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t count, const void** out) const;
};

// Scale and offset of a quantised cache: value = (stored + offset) * scale. Strides in elements, 0 where constant.
struct Antiquant {
  const float* scale = nullptr;
  const float* offset = nullptr;
  std::int64_t batch = 0, head = 0, token = 0, channel = 0;
  bool paged = false;  // `batch` is the stride of a block, `token` that of a token within it
};

struct Mask {
  const std::uint8_t* data = nullptr;
  std::int64_t batch = 0, head = 0, row = 0;
};

struct Bias {
  enum class Kind { kNone, kMatrix, kCompressed, kLinear, kSquareRoot };
  Kind kind = Kind::kNone;
  DType dtype = DType::kFloat32;
  const char* data = nullptr;
  std::int64_t batch = 0, head = 0, row = 0;  // bytes
  std::int64_t width = 0;                     // columns stored
  std::int64_t rows_total = 0;                // compressed: length of the sequence that the stored rows end
  bool scaled = false;                        // the scale multiplies the bias, too (pse_type 1)
  std::int64_t distance = 0;                  // generated: kv_start_idx - q_start_idx
  bool from_end = false;                      // generated: the last row of a sequence lies at its last key
};

struct Dropout {
  bool active = false;
  const std::uint8_t* bits = nullptr;  // null: Philox
  std::uint64_t seed = 0, offset = 0;
  double keep_prob = 1.0;
};

struct OutputQuantisation {
  const float* scale = nullptr;  // null: none
  const float* offset = nullptr;
  std::int64_t head = 0, channel = 0;  // strides in elements, 0 for per tensor
};

struct Problem {
  DType dtype = DType::kFloat32;  // of query, and of what a float cache holds
  DType rope_dtype = DType::kFloat32;
  DType kv_dtype = DType::kFloat32;  // as stored
  DType out_dtype = DType::kFloat32;
  bool int4_cache = false;
  std::int64_t heads = 0, kv_heads = 0;
  std::int64_t head_dim = 0, value_dim = 0, rope_dim = 0;
  float scale = 1.0f;    // of the scores; includes dequant_scale1, or the key's beside a quantised query
  float softcap = 0.0f;  // 0: none
  bool batch_invariant = false;

  std::vector<Sequence> sequences;
  Strided query, query_rope;
  Strided query_scale;  // of a quantised query: a float per token and head, for its rope, too
  RowSource key, value, key_rope;
  Antiquant key_antiquant, value_antiquant;
  Mask mask;
  Bias bias;
  Dropout dropout;
  const float* sink = nullptr;

  bool quantised_products = false;  // int8 query, key, value
  float p_scale = 1.0f;             // quant_scale1
  float product_scale = 1.0f;       // dequant_scale2, or the value's beside a quantised query

  std::int64_t Group() const { return heads / kv_heads; }
  bool Quantised() const { return key_antiquant.scale != nullptr; }
  bool QuantisedQuery() const { return query_scale.data != nullptr; }
};

struct ForwardOutputs {
  Strided out;
  OutputQuantisation quantisation;
  float* softmax_max = nullptr;  // kStatisticsWidth floats per statistic
  float* softmax_sum = nullptr;
  float* softmax_lse = nullptr;
  std::int64_t lse_batch = 0, lse_head = 0, lse_token = 0;
};

struct BackwardInputs {
  Strided out, grad_out;
  const float* softmax_max = nullptr;
  const float* softmax_sum = nullptr;
};

// Gradients in the dtype of the inputs; bias and sink gradients in float32 (zeroed by the caller).
struct BackwardOutputs {
  Strided grad_query, grad_key, grad_value, grad_query_rope, grad_key_rope;
  float* grad_bias = nullptr;
  std::int64_t bias_batch = 0, bias_head = 0, bias_row = 0;  // elements
  bool bias_shared_by_batch = false;
  float* grad_sink = nullptr;  // (batch, heads)
};

// Runs body(worker) for worker < workers, in parallel; workers <= threads.
struct Executor {
  int threads = 1;
  std::function<void(int workers, const std::function<void(int)>& body)> run;
};

void Forward(const Problem& problem, const ForwardOutputs& outputs, const Executor& executor);
void Backward(const Problem& problem, const BackwardInputs& inputs, const BackwardOutputs& outputs,
              const Executor& executor);

}  // namespace npufa::cpu
