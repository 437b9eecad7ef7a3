// Rotation by cosines and sines on NPU tensors.
#include "rotary.h"

#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "arguments.h"
#include "npu/aclnn_call.h"

namespace npufa::npu {

namespace {

void Rotary(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input", {});
  const RotaryCall<std::int64_t> call = ReadRotaryMul<std::int64_t>(a);
  const at::ScalarType given = a.Tensor("input").scalar_type();
  // The kernel has one type; a narrower one would lose what the angles have.
  const bool same = call.cosines.dtype == call.input.dtype && call.sines.dtype == call.input.dtype;
  const auto dense = [&](const char* name) { return a.Tensor(name).to(same ? given : at::kFloat).contiguous(); };
  const at::Tensor input = dense("input");
  at::Tensor result = at::empty_like(input);
  if (input.numel() > 0) {
    CallAclnn(a.Op(), "aclnnNpufaRotaryMul", input.device(), input, dense("r1"), dense("r2"), call.mode,
              call.transposed, result);
  }
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(result.to(given));
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  m.impl("_npu_rotary", torch::CppFunction::makeFromBoxedFunction<&Rotary>());
}

}  // namespace npufa::npu
