// What torch alone has of a call's arguments: lengths as tensors, and the arguments of advance_step.
#pragma once

#include "advance_step.h"
#include "arguments.h"
#include "read_call.h"

namespace npufa {

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
  AttentionCall<Int> c = ReadFusionCall<Int>(a);
  if (a.At("actual_seq_qlen").isTensor() || a.At("actual_seq_kvlen").isTensor()) {
    ReadTensorLengths(a, &c);
  } else {
    c.q_lens = a.List<Int>("actual_seq_qlen");
    c.kv_lens = a.List<Int>("actual_seq_kvlen");
  }
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

}  // namespace npufa
