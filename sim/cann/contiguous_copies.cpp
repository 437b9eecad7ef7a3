#include "contiguous_copies.h"

#include <algorithm>

#include "aclnn_error.h"
#include "kernel_arguments.h"
#include "op_check.h"

namespace npufa_sim {

namespace {

std::uint64_t InUnits(std::uint64_t bytes) {
  constexpr std::uint64_t kUnit = 512;
  return (bytes + kUnit - 1) / kUnit * kUnit;
}

bool NeedsCopy(const CallParam& param, const TensorView& view) {
  return !view.IsContiguous() && !param.def->ignore_contiguous;
}

bool SameView(const TensorView& a, const TensorView& b) {
  return a.data == b.data && a.sizes == b.sizes && a.strides == b.strides;
}

bool IsInPlace(const std::vector<CallParam>& inputs, const CallParam& output) {
  return std::any_of(inputs.begin(), inputs.end(),
                     [&](const CallParam& input) { return input.def->name == output.def->name; });
}

void RequireContiguous(const CallParam& param) {
  for (const TensorView& tensor : param.tensors) {
    if (!tensor.IsContiguous()) throw AclnnError(kParamInvalid, CamelCase(param.def->name) + " is not contiguous");
  }
}

TensorView CopyAt(const TensorView& view, unsigned char* memory) {
  TensorView copy = view;
  copy.data = memory;
  std::int64_t step = 1;
  for (std::size_t i = copy.sizes.size(); i-- > 0; step *= copy.sizes[i]) copy.strides[i] = step;
  return copy;
}

}  // namespace

void CheckContiguous(const std::vector<CallParam>& inputs, const std::vector<CallParam>& outputs) {
  const bool copied = std::any_of(inputs.begin(), inputs.end(), [](const auto& p) { return p.def->auto_contiguous; });
  for (const CallParam& input : inputs) {
    if (!copied && !input.def->ignore_contiguous) RequireContiguous(input);
  }
  for (const CallParam& output : outputs) {
    if (!copied || !IsInPlace(inputs, output)) RequireContiguous(output);
  }
}

std::uint64_t BytesOfCopies(const std::vector<CallParam>& inputs) {
  std::uint64_t bytes = 0;
  for (const CallParam& input : inputs) {
    for (const TensorView& view : input.tensors) bytes += NeedsCopy(input, view) ? InUnits(view.Bytes()) : 0;
  }
  return bytes;
}

std::uint64_t BytesWithCopies(std::uint64_t kernel_bytes, const std::vector<CallParam>& inputs) {
  const std::uint64_t copies = BytesOfCopies(inputs);
  return copies == 0 ? kernel_bytes : InUnits(kernel_bytes) + copies;
}

ContiguousCopies::ContiguousCopies(const std::vector<CallParam>& inputs, const std::vector<CallParam>& outputs,
                                   void* memory)
    : inputs_(inputs), outputs_(outputs) {
  auto* next = static_cast<unsigned char*>(memory);
  std::vector<Copy> copies;
  for (CallParam& input : inputs_) {
    for (TensorView& view : input.tensors) {
      if (!NeedsCopy(input, view)) continue;
      RequireDeviceMemory(input, view);
      copies.push_back({view, CopyAt(view, next)});
      next += InUnits(view.Bytes());
      CopyContiguous(view, static_cast<unsigned char*>(copies.back().copy.data));
      view = copies.back().copy;
    }
  }
  for (CallParam& output : outputs_) {
    for (TensorView& view : output.tensors) {
      const auto copy =
          std::find_if(copies.begin(), copies.end(), [&](const Copy& c) { return SameView(c.view, view); });
      if (copy == copies.end()) continue;
      changed_.push_back(*copy);
      view = copy->copy;
    }
  }
}

void ContiguousCopies::WriteBack() const {
  for (const Copy& copy : changed_) CopyToView(static_cast<const unsigned char*>(copy.copy.data), copy.view);
}

}  // namespace npufa_sim
