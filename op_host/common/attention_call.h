// One attention call as the caller wrote it: tensors reduced to descriptions, attributes as they came.
#pragma once

#include <limits>
#include <string>

#include "argument_names.h"
#include "tensor_desc.h"

namespace npufa {

enum class OpKind { kFusion, kPrompt, kIncre, kFusedInfer };

// How a bias that is a value per pair lies. atb's have one head for all, if they like, and columns for the keys alone.
enum PseLayout : std::int64_t {
  kPsePerHead = 0,       // (B or 1, N, Sq or 1, Skv)
  kPseOfKeys = 1,        // (B or 1, N or 1, Sq or 1, longest sequence of keys)
  kPseOfTokens = 2,      // (1, N or 1, T, longest sequence of keys): rows are those of the packed query
  kPseSlopes = 3,        // (N,): -slope times the distance is generated, the last row of a sequence at its last key
  kPseSlopesOfRoot = 4,  // the same with the root of the distance
};

template <class Int>
struct AttentionCall {
  OpKind kind = OpKind::kFusion;
  const char* op = "";
  ArgumentNames names;

  TensorDesc<Int> query, key, value;
  TensorDesc<Int> query_rope, key_rope;
  TensorDesc<Int> pse, padding_mask, atten_mask;
  std::string input_layout;
  std::int64_t heads = 1;
  std::int64_t kv_heads = 0;  // inference only; 0 means `heads`
  std::int64_t pre_tokens = std::numeric_limits<std::int32_t>::max();
  std::int64_t next_tokens = std::numeric_limits<std::int32_t>::max();
  std::int64_t sparse_mode = 0;
  double scale = 1.0;
  double softcap = 0.0;  // 0: none
  bool batch_invariant = false;
  std::int64_t inner_precise = 0;
  OptionalList<Int> q_lens, kv_lens;
  bool q_lens_cumulative = false, kv_lens_cumulative = false;  // lists of a packed batch that cannot be plain lengths
  // Lengths whose values are not known before the launch: their number is.
  TensorDesc<Int> q_lens_tensor, kv_lens_tensor;

  TensorDesc<Int> sink;

  // Training.
  double keep_prob = 1.0;
  OptionalList<Int> prefix, q_start_idx, kv_start_idx;
  std::int64_t pse_type = 1;
  std::string softmax_layout;
  TensorDesc<Int> dropout_mask;

  // Inference.
  TensorDesc<Int> dequant_scale1, quant_scale1, dequant_scale2, quant_scale2, quant_offset2;
  TensorDesc<Int> antiquant_scale, antiquant_offset;
  TensorDesc<Int> key_antiquant_scale, key_antiquant_offset, value_antiquant_scale, value_antiquant_offset;
  TensorDesc<Int> key_rope_antiquant_scale;
  TensorDesc<Int> dequant_scale_query;
  std::int64_t query_quant_mode = 0;
  std::int64_t antiquant_mode = 0, key_antiquant_mode = 0, value_antiquant_mode = 0;
  TensorDesc<Int> block_table;
  std::int64_t block_size = 0;
  TensorDesc<Int> query_padding_size, kv_padding_size;
  TensorDesc<Int> key_shared_prefix, value_shared_prefix;
  OptionalList<Int> actual_shared_prefix_len;
  bool softmax_lse = false;
  std::int64_t pse_layout = kPsePerHead;
  std::int64_t value_head_size = 0;  // value is the first channels of each row of its cache; 0: all

  bool IsInference() const { return kind != OpKind::kFusion; }
};

}  // namespace npufa
