// The operators that merge partial attentions, on NPU tensors.
#include <torch/library.h>

#include "npu/aclnn_call.h"
#include "ops/attention_update_results.h"
#include "ops/results.h"

namespace npufa::npu {

namespace {

std::vector<at::Tensor> Dense(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> dense;
  for (const at::Tensor& t : tensors) dense.push_back(t.contiguous());
  return dense;
}

void AttentionUpdate(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("local_out", {});
  const auto call = ReadAttentionUpdate<std::int64_t>(a);
  // The kernel has a place for the log-sum-exp in any case.
  std::vector<at::Tensor> results = AttentionUpdateResults(a, true);
  if (results[0].numel() > 0) {
    CallAclnn(a.Op(), "aclnnNpufaAttentionUpdate", results[0].device(), Dense(a.Tensors("lse")),
              Dense(a.Tensors("local_out")), a.Integer("update_type"), results[0], results[1]);
  }
  if (!call.returns_lse) results[1] = AttentionUpdateResults(a, false)[1];
  ReturnResults(op, stack, std::move(results));
}

void RingUpdate(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("prev_attn_out", {});
  ReadRingUpdate<std::int64_t>(a);
  std::vector<at::Tensor> results = RingUpdateResults(a);
  const auto dense = [&](const char* name) { return a.Tensor(name).contiguous(); };
  if (results[0].numel() > 0) {
    CallAclnn(a.Op(), "aclnnNpufaRingAttentionUpdate", results[0].device(), dense("prev_attn_out"),
              dense("prev_softmax_max"), dense("prev_softmax_sum"), dense("cur_attn_out"), dense("cur_softmax_max"),
              dense("cur_softmax_sum"), a.OptionalTensor("actual_seq_qlen"), a.Text("input_layout"),
              a.Text("input_softmax_layout"), results[0], results[1], results[2]);
  }
  ReturnResults(op, stack, std::move(results));
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  m.impl("npu_attention_update", torch::CppFunction::makeFromBoxedFunction<&AttentionUpdate>());
  m.impl("npu_ring_attention_update", torch::CppFunction::makeFromBoxedFunction<&RingUpdate>());
}

}  // namespace npufa::npu
