// What differs between the versions of torch that the sources are built with: the only file that asks for a version.
#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/core/SymBool.h>
#include <torch/csrc/autograd/function.h>
#include <torch/version.h>

#include <memory>
#include <utility>

#define NPUFA_TORCH_AT_LEAST(minor) (TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= (minor))

// Whether a relation of symbols holds for certain. Before 2.8 an unbacked symbol is taken to be neither 0 nor 1, before
// 2.5 the relation is guarded on.
#if !defined(TORCH_GUARD_OR_FALSE) && defined(TORCH_GUARD_SIZE_OBLIVIOUS)
#define TORCH_GUARD_OR_FALSE(relation) TORCH_GUARD_SIZE_OBLIVIOUS(relation)
#elif !defined(TORCH_GUARD_OR_FALSE)
#define TORCH_GUARD_OR_FALSE(relation) (relation).guard_bool(__FILE__, __LINE__)
#endif

#if !NPUFA_TORCH_AT_LEAST(9)
// Dispatcher's only way to a registered kernel before 2.9: OperatorHandle shows its definition to this template.
template <>
class c10::TypedOperatorHandle<void> {
 public:
  static KernelFunction Kernel(const OperatorHandle& op, DispatchKey key) {
    return op.operatorDef_->op.kernelForDispatchKey(key);
  }
};
#endif

namespace npufa {

// What operators take as an optional argument: std::optional, or a class of torch's own in the oldest versions.
template <class T>
using TorchOptional = decltype(std::declval<const c10::IValue&>().toOptional<T>());

// A node of the autograd graph, in the pointer that the graph counts it by.
template <class Made, class... Args>
auto MakeNode(Args&&... args) {
#if NPUFA_TORCH_AT_LEAST(13)
  return c10::intrusive_ptr<torch::autograd::Node>(c10::make_intrusive<Made>(std::forward<Args>(args)...));
#else
  return std::shared_ptr<torch::autograd::Node>(new Made(std::forward<Args>(args)...), &torch::autograd::deleteNode);
#endif
}

// The kernel that is registered for the key now; it stays callable when another takes its place.
inline auto RegisteredKernel(const c10::OperatorHandle& op, c10::DispatchKey key) {
#if NPUFA_TORCH_AT_LEAST(9)
  return op.getComputedKernelForDispatchKey(key);
#else
  return c10::TypedOperatorHandle<void>::Kernel(op, key);
#endif
}

// The type of the innermost region of torch.autocast for a CPU or a PrivateUse1 device.
inline at::ScalarType AutocastType(c10::DeviceType device) {
#if NPUFA_TORCH_AT_LEAST(4)
  return at::autocast::get_autocast_dtype(device);
#else
  return device == at::kCPU ? at::autocast::get_autocast_cpu_dtype() : at::autocast::get_autocast_privateuseone_dtype();
#endif
}

}  // namespace npufa
