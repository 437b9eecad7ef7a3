// Arguments are spelled differently from operator to operator; messages use the caller's spelling.
#pragma once

namespace npufa {

// Members are called as in npu_fused_infer_attention_score; "" where an operator has no such argument.
struct ArgumentNames {
  const char* heads = "num_heads";
  const char* scale = "scale";
  const char* pse = "pse_shift";
  const char* q_lens = "actual_seq_lengths";
  const char* kv_lens = "actual_seq_lengths_kv";
  const char* sink = "";
  const char* softmax_lse = "softmax_lse_flag";
  const char* dequant_scale1 = "dequant_scale1";
  const char* quant_scale1 = "quant_scale1";
  const char* dequant_scale2 = "dequant_scale2";
  const char* quant_scale2 = "quant_scale2";
  const char* quant_offset2 = "quant_offset2";
  const char* antiquant_scale = "antiquant_scale";
  const char* key_antiquant_scale = "key_antiquant_scale";
  const char* key_antiquant_offset = "key_antiquant_offset";
  const char* key_antiquant_mode = "key_antiquant_mode";
  const char* value_antiquant_scale = "value_antiquant_scale";
  const char* value_antiquant_offset = "value_antiquant_offset";
  const char* value_antiquant_mode = "value_antiquant_mode";
  const char* key_rope_antiquant_scale = "key_rope_antiquant_scale";
};

constexpr ArgumentNames FusionNames() {
  ArgumentNames n;
  n.heads = "head_num";
  n.pse = "pse";
  n.q_lens = "actual_seq_qlen";
  n.kv_lens = "actual_seq_kvlen";
  n.sink = "sink";
  return n;
}

constexpr ArgumentNames PromptNames() {
  ArgumentNames n;
  n.scale = "scale_value";
  n.dequant_scale1 = "deq_scale1";
  n.dequant_scale2 = "deq_scale2";
  return n;
}

constexpr ArgumentNames IncreNames() {
  ArgumentNames n;
  n.scale = "scale_value";
  n.kv_lens = "actual_seq_lengths";
  return n;
}

constexpr ArgumentNames FusedInferNames() {
  ArgumentNames n;
  n.sink = "learnable_sink";
  return n;
}

constexpr ArgumentNames FusedInferV2Names() {
  ArgumentNames n;
  n.heads = "num_query_heads";
  n.scale = "softmax_scale";
  n.q_lens = "actual_seq_qlen";
  n.kv_lens = "actual_seq_kvlen";
  n.sink = "learnable_sink";
  n.softmax_lse = "return_softmax_lse";
  n.dequant_scale1 = "";
  n.quant_scale1 = "";
  n.dequant_scale2 = "";
  n.quant_scale2 = "quant_scale_out";
  n.quant_offset2 = "quant_offset_out";
  n.antiquant_scale = "";
  n.key_antiquant_scale = "dequant_scale_key";
  n.key_antiquant_offset = "dequant_offset_key";
  n.key_antiquant_mode = "key_quant_mode";
  n.value_antiquant_scale = "dequant_scale_value";
  n.value_antiquant_offset = "dequant_offset_value";
  n.value_antiquant_mode = "value_quant_mode";
  n.key_rope_antiquant_scale = "dequant_scale_key_rope";
  return n;
}

}  // namespace npufa
