#include "device_values.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <unordered_set>

#include "torch_npu_compat.h"

namespace npufa_sim {

using at::Tensor;
using c10::IValue;

bool IsNpu(const Tensor& tensor) { return tensor.defined() && tensor.device().type() == kNpu; }

Tensor OnCpu(const Tensor& tensor, bool owns) {
  if (!IsNpu(tensor)) return tensor;
  const auto options = tensor.options().device(at::kCPU);
  Tensor cpu = owns ? at::from_blob(
                          tensor.data_ptr(), tensor.sizes(), tensor.strides(), [tensor](void*) {}, options)
                    : at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), options);
  cpu._set_conj(tensor.is_conj());
  cpu._set_neg(tensor.is_neg());
  return cpu;
}

std::optional<c10::Device> DeviceOf(at::ArrayRef<IValue> arguments) {
  std::optional<c10::Device> device;
  const auto look = [&](const IValue& value) {
    if (!device.has_value() && value.isTensor() && IsNpu(value.toTensor())) device = value.toTensor().device();
  };
  for (const IValue& value : arguments) {
    if (value.isDevice()) return value.toDevice();
    look(value);
    if (value.isList()) {
      for (const IValue& item : value.toListRef()) look(item);
    }
  }
  return device;
}

void* CurrentStream(const std::optional<c10::Device>& device) {
  const c10::impl::VirtualGuardImpl devices(kNpu);
  const bool npu = device.has_value() && device->type() == kNpu;
  return npufa::torch_npu::CurrentStream(npu ? *device : devices.getDevice());
}

bool TakesHostTensors(const std::string& op) {
  static const std::unordered_set<std::string> names = {"aten::copy_",
                                                        "aten::index",
                                                        "aten::index_put",
                                                        "aten::index_put_",
                                                        "aten::_index_put_impl_",
                                                        "aten::_unsafe_index",
                                                        "aten::_unsafe_index_put"};
  return names.count(op) != 0;
}

void RequireOneDevice(const c10::OperatorHandle& op, at::ArrayRef<IValue> arguments,
                      const std::optional<c10::Device>& device) {
  if (TakesHostTensors(op.operator_name().name) || !device.has_value() || device->type() != kNpu) return;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    MapTensors(arguments[i], [&](const Tensor& t) {
      TORCH_CHECK(IsNpu(t) || t.dim() == 0, "Expected all tensors to be on the same device, but got ",
                  op.schema().arguments()[i].name(), " on ", t.device(), ", different from other tensors on ", *device,
                  " (", op.operator_name(), ")");
      return t;
    });
  }
}

std::optional<std::size_t> ArgumentOfResult(const c10::OperatorHandle& op, std::size_t result) {
  const c10::AliasInfo* written = op.schema().returns()[result].alias_info();
  if (written == nullptr || !written->isWrite()) return std::nullopt;
  const auto& arguments = op.schema().arguments();
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const c10::AliasInfo* alias = arguments[i].alias_info();
    if (alias != nullptr && *alias == *written) return i;
  }
  return std::nullopt;
}

bool IsGenerator(const c10::Argument& argument) {
  return argument.type()->isSubtypeOf(*c10::OptionalType::create(c10::GeneratorType::get()));
}

}  // namespace npufa_sim
