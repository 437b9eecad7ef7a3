// The arguments of each attention operator as an AttentionCall: the only place that knows which spelling means what.
//
// `Source` hands out arguments by name: a call of torch, or a call of CANN. It has Op(), Has(name), Desc<Int>(name)
// (undefined for an absent tensor), List<Int>(name), Integer(name, missing), Number(name, missing), Text(name) and
// Flag(name); `missing` is for an argument that the operator does not have.
#pragma once

#include "attention_spec.h"

namespace npufa {

inline constexpr std::int64_t kUnboundedTokens = std::numeric_limits<std::int32_t>::max();

// Gradients and CANN's operators have one spelling for all.
template <class Int, class Source>
void ReadScale(const Source& a, AttentionCall<Int>* call) {
  if (!a.Has(call->names.scale)) call->names.scale = "scale_value";
  call->scale = a.Number(call->names.scale);
}

// Without the lengths, which operators take as lists or as tensors.
template <class Int, class Source>
AttentionCall<Int> ReadFusionCall(const Source& a) {
  AttentionCall<Int> c;
  c.kind = OpKind::kFusion;
  c.op = a.Op();
  c.names = FusionNames();
  auto tensor = [&](const char* name) { return a.template Desc<Int>(name); };
  c.query = tensor("query");
  c.key = tensor("key");
  c.value = tensor("value");
  c.query_rope = tensor("query_rope");
  c.key_rope = tensor("key_rope");
  c.pse = tensor("pse");
  c.padding_mask = tensor("padding_mask");
  c.atten_mask = tensor("atten_mask");
  c.input_layout = a.Text("input_layout");
  c.heads = a.Integer("head_num");
  c.pre_tokens = a.Integer(a.Has("pre_tockens") ? "pre_tockens" : "pre_tokens");
  c.next_tokens = a.Integer(a.Has("next_tockens") ? "next_tockens" : "next_tokens");
  c.sparse_mode = a.Integer("sparse_mode");
  ReadScale(a, &c);
  c.softcap = a.Number("softcap", 0.0);
  c.inner_precise = a.Integer("inner_precise");
  c.keep_prob = a.Number("keep_prob");
  c.prefix = a.template List<Int>("prefix");
  c.pse_type = a.Integer("pse_type", 1);
  c.q_start_idx = a.template List<Int>("q_start_idx");
  c.kv_start_idx = a.template List<Int>("kv_start_idx");
  c.softmax_layout = a.Text("softmax_layout");
  c.sink = tensor("sink");
  c.dropout_mask = tensor("dropout_mask");
  return c;
}

// Without the lengths.
template <class Int, class Source>
AttentionCall<Int> ReadInferenceCall(const Source& a, OpKind kind) {
  AttentionCall<Int> c;
  c.kind = kind;
  c.op = a.Op();
  c.names = kind == OpKind::kPrompt    ? PromptNames()
            : kind == OpKind::kIncre   ? IncreNames()
            : a.Has("num_query_heads") ? FusedInferV2Names()
                                       : FusedInferNames();
  auto tensor = [&](const char* name) { return a.template Desc<Int>(name); };
  c.query = tensor("query");
  c.key = tensor("key");
  c.value = tensor("value");
  c.query_rope = tensor("query_rope");
  c.key_rope = tensor("key_rope");
  c.pse = tensor("pse_shift");
  c.padding_mask = tensor("padding_mask");
  c.atten_mask = tensor("atten_mask");
  c.input_layout = a.Text("input_layout");
  c.heads = a.Integer(c.names.heads);
  c.kv_heads = a.Integer("num_key_value_heads");
  c.pre_tokens = a.Integer("pre_tokens", kUnboundedTokens);
  c.next_tokens = a.Integer("next_tokens", kUnboundedTokens);
  c.sparse_mode = a.Integer("sparse_mode");
  ReadScale(a, &c);
  c.softcap = a.Number("softcap", 0.0);
  c.inner_precise = a.Integer("inner_precise");
  c.dequant_scale1 = tensor(c.names.dequant_scale1);
  c.quant_scale1 = tensor(c.names.quant_scale1);
  c.dequant_scale2 = tensor(c.names.dequant_scale2);
  c.quant_scale2 = tensor(c.names.quant_scale2);
  c.quant_offset2 = tensor(c.names.quant_offset2);
  c.antiquant_scale = tensor(c.names.antiquant_scale);
  c.antiquant_offset = tensor("antiquant_offset");
  c.key_antiquant_scale = tensor(c.names.key_antiquant_scale);
  c.key_antiquant_offset = tensor(c.names.key_antiquant_offset);
  c.value_antiquant_scale = tensor(c.names.value_antiquant_scale);
  c.value_antiquant_offset = tensor(c.names.value_antiquant_offset);
  c.key_rope_antiquant_scale = tensor(c.names.key_rope_antiquant_scale);
  c.dequant_scale_query = tensor("dequant_scale_query");
  c.query_quant_mode = a.Integer("query_quant_mode");
  c.antiquant_mode = a.Integer("antiquant_mode");
  c.key_antiquant_mode = a.Integer(c.names.key_antiquant_mode);
  c.value_antiquant_mode = a.Integer(c.names.value_antiquant_mode);
  c.block_table = tensor("block_table");
  c.block_size = a.Integer("block_size");
  c.query_padding_size = tensor("query_padding_size");
  c.kv_padding_size = tensor("kv_padding_size");
  c.key_shared_prefix = tensor("key_shared_prefix");
  c.value_shared_prefix = tensor("value_shared_prefix");
  c.actual_shared_prefix_len = a.template List<Int>("actual_shared_prefix_len");
  c.softmax_lse = a.Flag(c.names.softmax_lse);
  c.sink = tensor(c.names.sink);
  c.pse_layout = a.Integer("pse_layout");
  c.value_head_size = a.Integer("value_head_size");
  return c;
}

// Shapes that a grad operator takes beside the forward arguments.
template <class Int, class Source>
void CheckGradInputs(const Source& a, const AttentionSpec<Int>& spec) {
  auto check = [&](const char* name, DType dtype, const std::vector<Int>& sizes) {
    const TensorDesc<Int> t = a.template Desc<Int>(name);
    if (!t) Fail(a.Op(), name, "is missing", "None", "an output of the forward operator");
    RequireDType(a.Op(), name, t, {dtype});
    if (!SameSizes(t, sizes)) Fail(a.Op(), name, "has the wrong shape", t.sizes, Show(sizes));
  };
  check("dy", spec.dtype, spec.OutputSizes());
  check("softmax_max", DType::kFloat32, spec.StatisticsSizes());
  check("softmax_sum", DType::kFloat32, spec.StatisticsSizes());
  check("attention_in", spec.dtype, spec.OutputSizes());
}

}  // namespace npufa
