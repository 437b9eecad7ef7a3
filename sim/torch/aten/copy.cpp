#include "copy.h"

#include <ATen/ATen.h>

#include <optional>
#include <utility>

#include "cpu_call.h"
#include "torch_compat.h"

namespace npufa_sim {

namespace {

using at::Tensor;

using Kernel = decltype(npufa::RegisteredKernel(std::declval<c10::OperatorHandle>(), c10::DispatchKey::PrivateUse1));

std::optional<Kernel>& TorchNpuCopy() {
  static std::optional<Kernel> kernel;
  return kernel;
}

bool OnChip(at::ScalarType type) { return type != at::kComplexHalf && !at::isFloat8Type(type); }

bool NeedsOnlyCopies(const Tensor& dst, const Tensor& src) {
  if (dst.is_conj() != src.is_conj() || dst.is_neg() != src.is_neg()) return false;
  if (dst.scalar_type() == src.scalar_type()) return true;
  return dst.device() == src.device() && OnChip(dst.scalar_type()) && OnChip(src.scalar_type());
}

}  // namespace

void KeepCopyKernel(const c10::OperatorHandle& op) {
  TorchNpuCopy() = npufa::RegisteredKernel(op, c10::DispatchKey::PrivateUse1);
}

void Copy(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Tensor dst = torch::jit::peek(*stack, 0, 3).toTensor(), src = torch::jit::peek(*stack, 1, 3).toTensor();
  if (NeedsOnlyCopies(dst, src)) {
    TorchNpuCopy()->callBoxed(op, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), stack);
  } else {
    CallOnCpu(op, stack);
  }
}

}  // namespace npufa_sim
