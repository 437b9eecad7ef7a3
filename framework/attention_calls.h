// The arguments of each operator as an AttentionCall: the only place that knows which spelling means what.
#pragma once

#include "advance_step.h"
#include "arguments.h"
#include "attention_spec.h"

namespace npufa {

inline constexpr std::int64_t kUnboundedTokens = std::numeric_limits<std::int32_t>::max();

// Lengths as plain integers from a v3 tensor argument.
inline std::vector<std::int64_t> ReadLengths(const at::Tensor& lengths) {
  const at::Tensor host = lengths.cpu().contiguous();
  const std::int64_t* data = host.const_data_ptr<std::int64_t>();
  return {data, data + host.numel()};
}

template <class Int>
void ReadTensorLengths(const Arguments& a, AttentionCall<Int>* call) {
  const at::Tensor q = a.OptionalTensor("actual_seq_qlen");
  const at::Tensor kv = a.OptionalTensor("actual_seq_kvlen");
  for (const auto& [name, t] : {std::pair{"actual_seq_qlen", q}, std::pair{"actual_seq_kvlen", kv}}) {
    if (!t.defined()) continue;
    if (t.scalar_type() != at::kLong) Fail(a.Op(), name, "has the wrong dtype", NameOf(FromTorch(t.scalar_type())), "int64");
    if (t.dim() != 1) Fail(a.Op(), name, "has the wrong number of dimensions", t.dim(), "1");
  }
  if constexpr (std::is_same_v<Int, std::int64_t>) {
    if (q.defined()) call->q_lens = ReadLengths(q);
    if (kv.defined()) call->kv_lens = ReadLengths(kv);
  } else if (q.defined() != kv.defined()) {
    // Packed layouts refuse the missing one; padded ones take no notice of a length that fits anything.
    (q.defined() ? call->q_lens : call->kv_lens) = std::vector<Int>{Int(0)};
  } else if (q.defined()) {
    call->lengths_on_device = true;
    call->sequences = q.sym_size(0);
    if (KnownNe(kv.sym_size(0), call->sequences)) {
      Fail(a.Op(), "actual_seq_kvlen", "has another number of sequences than the query", kv.sym_size(0), Show(call->sequences));
    }
  }
}

template <class Int>
AttentionCall<Int> FusionCall(const Arguments& a) {
  AttentionCall<Int> c;
  c.kind = OpKind::kFusion;
  c.op = a.Op();
  c.names = kFusionNames;
  c.query = Desc<Int>(a.Tensor("query"));
  c.key = Desc<Int>(a.Tensor("key"));
  c.value = Desc<Int>(a.Tensor("value"));
  c.query_rope = Desc<Int>(a.OptionalTensor("query_rope"));
  c.key_rope = Desc<Int>(a.OptionalTensor("key_rope"));
  c.pse = Desc<Int>(a.OptionalTensor("pse"));
  c.padding_mask = Desc<Int>(a.OptionalTensor("padding_mask"));
  c.atten_mask = Desc<Int>(a.OptionalTensor("atten_mask"));
  c.input_layout = a.Text("input_layout");
  c.heads = a.Integer("head_num");
  c.pre_tokens = a.Has("pre_tockens") ? a.Integer("pre_tockens") : a.Integer("pre_tokens");
  c.next_tokens = a.Has("next_tockens") ? a.Integer("next_tockens") : a.Integer("next_tokens");
  c.sparse_mode = a.Integer("sparse_mode");
  c.inner_precise = a.Integer("inner_precise");
  c.keep_prob = a.Number("keep_prob");
  c.prefix = a.List<Int>("prefix");
  c.pse_type = a.Integer("pse_type", 1);
  c.q_start_idx = a.List<Int>("q_start_idx");
  c.kv_start_idx = a.List<Int>("kv_start_idx");
  c.softmax_layout = a.Text("softmax_layout");
  c.sink = Desc<Int>(a.OptionalTensor("sink"));
  c.dropout_mask = Desc<Int>(a.OptionalTensor("dropout_mask"));
  if (a.At("actual_seq_qlen").isTensor() || a.At("actual_seq_kvlen").isTensor()) {
    ReadTensorLengths(a, &c);
  } else {
    c.q_lens = a.List<Int>("actual_seq_qlen");
    c.kv_lens = a.List<Int>("actual_seq_kvlen");
  }
  return c;
}

template <class Int>
AttentionCall<Int> InferenceCall(const Arguments& a, OpKind kind) {
  AttentionCall<Int> c;
  c.kind = kind;
  c.op = a.Op();
  c.names = kind == OpKind::kPrompt ? kPromptNames : kind == OpKind::kIncre ? kIncreNames : kFusedInferNames;
  auto tensor = [&](const char* name) { return Desc<Int>(a.OptionalTensor(name)); };
  c.query = tensor("query");
  c.key = tensor("key");
  c.value = tensor("value");
  c.query_rope = tensor("query_rope");
  c.key_rope = tensor("key_rope");
  c.pse = tensor("pse_shift");
  c.padding_mask = tensor("padding_mask");
  c.atten_mask = tensor("atten_mask");
  c.input_layout = a.Text("input_layout");
  c.heads = a.Integer("num_heads");
  c.kv_heads = a.Integer("num_key_value_heads");
  c.pre_tokens = a.Integer("pre_tokens", kUnboundedTokens);
  c.next_tokens = a.Integer("next_tokens", kUnboundedTokens);
  c.sparse_mode = a.Integer("sparse_mode");
  c.inner_precise = a.Integer("inner_precise");
  // incre has one list of lengths, and they are those of the keys.
  c.kv_lens = a.List<Int>(c.names.kv_lens);
  if (kind != OpKind::kIncre) c.q_lens = a.List<Int>(c.names.q_lens);
  c.dequant_scale1 = tensor(c.names.dequant_scale1);
  c.quant_scale1 = tensor("quant_scale1");
  c.dequant_scale2 = tensor(c.names.dequant_scale2);
  c.quant_scale2 = tensor("quant_scale2");
  c.quant_offset2 = tensor("quant_offset2");
  c.antiquant_scale = tensor("antiquant_scale");
  c.antiquant_offset = tensor("antiquant_offset");
  c.key_antiquant_scale = tensor("key_antiquant_scale");
  c.key_antiquant_offset = tensor("key_antiquant_offset");
  c.value_antiquant_scale = tensor("value_antiquant_scale");
  c.value_antiquant_offset = tensor("value_antiquant_offset");
  c.key_rope_antiquant_scale = tensor("key_rope_antiquant_scale");
  c.antiquant_mode = a.Integer("antiquant_mode");
  c.key_antiquant_mode = a.Integer("key_antiquant_mode");
  c.value_antiquant_mode = a.Integer("value_antiquant_mode");
  c.block_table = tensor("block_table");
  c.block_size = a.Integer("block_size");
  c.query_padding_size = tensor("query_padding_size");
  c.kv_padding_size = tensor("kv_padding_size");
  c.key_shared_prefix = tensor("key_shared_prefix");
  c.value_shared_prefix = tensor("value_shared_prefix");
  c.actual_shared_prefix_len = a.List<Int>("actual_shared_prefix_len");
  c.softmax_lse = a.Has("softmax_lse_flag") && a.At("softmax_lse_flag").toBool();
  return c;
}

template <class Int>
AdvanceStepCall<Int> ReadAdvanceStep(const Arguments& a) {
  AdvanceStepCall<Int> c;
  auto tensor = [&](const char* name) { return Desc<Int>(a.OptionalTensor(name)); };
  c.input_tokens = tensor("input_tokens");
  c.sampled_token_ids = tensor("sampled_token_ids");
  c.input_positions = tensor("input_positions");
  c.seq_lens = tensor("seq_lens");
  c.slot_mapping = tensor("slot_mapping");
  c.block_tables = tensor("block_tables");
  c.spec_token = tensor("spec_token");
  c.accepted_num = tensor("accepted_num");
  c.num_seqs = a.Integer("num_seqs");
  c.num_queries = a.Integer("num_queries");
  c.block_size = a.Integer("block_size");
  return c;
}

// Shapes that a grad operator takes beside the forward arguments.
template <class Int>
void CheckGradInputs(const Arguments& a, const AttentionSpec<Int>& spec) {
  auto check = [&](const char* name, DType dtype, const std::vector<Int>& sizes) {
    const TensorDesc<Int> t = Desc<Int>(a.OptionalTensor(name));
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
