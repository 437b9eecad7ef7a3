// Arguments and results of aten operators that live on the simulated device.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string>
#include <utility>

namespace npufa_sim {

inline constexpr c10::DeviceType kNpu = c10::DeviceType::PrivateUse1;

bool IsNpu(const at::Tensor& tensor);

// Device memory is host memory: the memory of a device tensor as a CPU tensor, which keeps the other alive when it
// owns. Tensors of the CPU as they are.
at::Tensor OnCpu(const at::Tensor& tensor, bool owns = true);

// Where the results of a call belong: the device it names, else that of its first device tensor.
std::optional<c10::Device> DeviceOf(at::ArrayRef<c10::IValue> arguments);

// The handle of the current stream of that device, or of the current device.
void* CurrentStream(const std::optional<c10::Device>& device);

// Operators that devices let read larger tensors of the host too.
bool TakesHostTensors(const std::string& op);

// As on any device, tensors of the host are scalars. Raises otherwise.
void RequireOneDevice(const c10::OperatorHandle& op, at::ArrayRef<c10::IValue> arguments,
                      const std::optional<c10::Device>& device);

// Where a result is an argument of the call according to the schema: its index.
std::optional<std::size_t> ArgumentOfResult(const c10::OperatorHandle& op, std::size_t result);

// True for arguments of type Generator?.
bool IsGenerator(const c10::Argument& argument);

// std::optional, or torch's own before 2.2.
using OptionalTensor = decltype(std::declval<const c10::IValue&>().toOptionalTensorList())::value_type;

// Tensors and lists of tensors with every tensor replaced by replace(tensor); other values as they are.
template <class Replace>
c10::IValue MapTensors(const c10::IValue& value, Replace replace) {
  using at::Tensor;
  if (value.isTensor()) return value.toTensor().defined() ? replace(value.toTensor()) : value;
  if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& t : value.toTensorVector()) list.push_back(t.defined() ? replace(t) : t);
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<OptionalTensor> list;
    for (const OptionalTensor t : value.toOptionalTensorList()) {
      list.push_back(t.has_value() && t->defined() ? OptionalTensor(replace(*t)) : t);
    }
    return list;
  }
  return value;
}

}  // namespace npufa_sim
