// The operators that merge partial attentions: their results on every backend.
#include "attention_update_results.h"

#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "results.h"

namespace npufa {

namespace {

using c10::SymInt;

void AttentionUpdateMeta(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("local_out", {});
  ReturnResults(op, stack, AttentionUpdateResults(a, ReadAttentionUpdate<SymInt>(a).returns_lse));
}

void RingUpdateMeta(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("prev_attn_out", {});
  ReadRingUpdate<SymInt>(a);
  ReturnResults(op, stack, RingUpdateResults(a));
}

at::Tensor DenseLike(const at::Tensor& t) { return at::empty_like(t, at::MemoryFormat::Contiguous); }

}  // namespace

std::vector<at::Tensor> AttentionUpdateResults(const Arguments& a, bool returns_lse) {
  const at::Tensor output = a.Tensors("local_out")[0], lse = a.Tensors("lse")[0];
  return {DenseLike(output), returns_lse ? DenseLike(lse) : lse.new_empty({0})};
}

std::vector<at::Tensor> RingUpdateResults(const Arguments& a) {
  return {DenseLike(a.Tensor("prev_attn_out")), DenseLike(a.Tensor("prev_softmax_max")),
          DenseLike(a.Tensor("prev_softmax_sum"))};
}

TORCH_LIBRARY_IMPL(npufa, Meta, m) {
  m.impl("npu_attention_update", torch::CppFunction::makeFromBoxedFunction<&AttentionUpdateMeta>());
  m.impl("npu_ring_attention_update", torch::CppFunction::makeFromBoxedFunction<&RingUpdateMeta>());
}

}  // namespace npufa
