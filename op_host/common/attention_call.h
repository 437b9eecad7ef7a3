// One attention call as the caller wrote it: tensors reduced to descriptions, attributes as they came.
#pragma once

#include <limits>
#include <string>

#include "tensor_desc.h"

namespace npufa {

enum class OpKind { kFusion, kPrompt, kIncre, kFusedInfer };

// Arguments are spelled differently from operator to operator; messages use the caller's spelling.
struct ArgumentNames {
  const char* heads;
  const char* pse;
  const char* q_lens;
  const char* kv_lens;
  const char* dequant_scale1;
  const char* dequant_scale2;
};

inline constexpr ArgumentNames kFusionNames = {"head_num", "pse", "actual_seq_qlen", "actual_seq_kvlen", "", ""};
inline constexpr ArgumentNames kPromptNames = {
    "num_heads", "pse_shift", "actual_seq_lengths", "actual_seq_lengths_kv", "deq_scale1", "deq_scale2"};
inline constexpr ArgumentNames kIncreNames = {
    "num_heads", "pse_shift", "actual_seq_lengths", "actual_seq_lengths", "dequant_scale1", "dequant_scale2"};
inline constexpr ArgumentNames kFusedInferNames = {
    "num_heads", "pse_shift", "actual_seq_lengths", "actual_seq_lengths_kv", "dequant_scale1", "dequant_scale2"};

template <class Int>
struct AttentionCall {
  OpKind kind = OpKind::kFusion;
  const char* op = "";
  ArgumentNames names = kFusionNames;

  TensorDesc<Int> query, key, value;
  TensorDesc<Int> query_rope, key_rope;
  TensorDesc<Int> pse, padding_mask, atten_mask;
  std::string input_layout;
  std::int64_t heads = 1;
  std::int64_t kv_heads = 0;  // inference only; 0 means `heads`
  std::int64_t pre_tokens = std::numeric_limits<std::int32_t>::max();
  std::int64_t next_tokens = std::numeric_limits<std::int32_t>::max();
  std::int64_t sparse_mode = 0;
  std::int64_t inner_precise = 0;
  OptionalList<Int> q_lens, kv_lens;
  // Lengths given as tensors whose values are not known yet (graph capture): only their number is.
  bool lengths_on_device = false;
  Int sequences{0};

  // Training.
  double keep_prob = 1.0;
  OptionalList<Int> prefix, q_start_idx, kv_start_idx;
  std::int64_t pse_type = 1;
  std::string softmax_layout;
  TensorDesc<Int> sink, dropout_mask;

  // Inference.
  TensorDesc<Int> dequant_scale1, quant_scale1, dequant_scale2, quant_scale2, quant_offset2;
  TensorDesc<Int> antiquant_scale, antiquant_offset;
  TensorDesc<Int> key_antiquant_scale, key_antiquant_offset, value_antiquant_scale, value_antiquant_offset;
  TensorDesc<Int> key_rope_antiquant_scale;
  std::int64_t antiquant_mode = 0, key_antiquant_mode = 0, value_antiquant_mode = 0;
  TensorDesc<Int> block_table;
  std::int64_t block_size = 0;
  TensorDesc<Int> query_padding_size, kv_padding_size;
  TensorDesc<Int> key_shared_prefix, value_shared_prefix;
  OptionalList<Int> actual_shared_prefix_len;
  bool softmax_lse = false;

  bool IsInference() const { return kind != OpKind::kFusion; }
};

}  // namespace npufa
