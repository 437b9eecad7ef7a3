#include "cpu_call.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "../graph_guard.h"

namespace npufa_sim {

namespace {

using at::Tensor;
using c10::IValue;
using torch::jit::Stack;

constexpr c10::DeviceType kNpu = c10::DeviceType::PrivateUse1;

bool IsNpu(const Tensor& t) { return t.defined() && t.device().type() == kNpu; }

// The device memory of t as a CPU tensor, which keeps t alive.
Tensor OnCpu(const Tensor& t) {
  if (!IsNpu(t)) return t;
  Tensor cpu = at::from_blob(t.data_ptr(), t.sizes(), t.strides(), [t](void*) {}, t.options().device(at::kCPU));
  cpu._set_conj(t.is_conj());
  cpu._set_neg(t.is_neg());
  return cpu;
}

// A copy of a CPU result on its device. Not Tensor::to(), which dispatches by the device it is given and comes back
// here.
Tensor OnDevice(const Tensor& t, c10::Device device) {
  if (t.device() == device) return t;
  const auto options = t.options().device(device);
  Tensor copy = t.is_non_overlapping_and_dense() ? at::empty_strided(t.sizes(), t.strides(), options)
                                                 : at::empty(t.sizes(), options);
  return copy.copy_(t);
}

// Draws of a device generator on the CPU: a generator for one call, from the seed and the position in its sequence.
at::Generator CpuGenerator(at::Generator generator) {
  constexpr std::uint64_t kCallStep = 4;  // offsets of device generators are multiples of 4
  const std::lock_guard<std::mutex> lock(generator.mutex());
  const std::uint64_t offset = generator.get_offset();
  generator.set_offset(offset + kCallStep);
  return at::detail::createCPUGenerator(generator.current_seed() + offset * 0x9E3779B97F4A7C15ULL);
}

// Where the results of a call belong: the device it names, else that of its first device tensor.
std::optional<c10::Device> DeviceOf(at::ArrayRef<IValue> values) {
  std::optional<c10::Device> device;
  const auto look = [&](const IValue& value) {
    if (!device.has_value() && value.isTensor() && IsNpu(value.toTensor())) device = value.toTensor().device();
  };
  for (const IValue& value : values) {
    if (value.isDevice()) return value.toDevice();
    look(value);
    if (value.isList()) {
      for (const IValue& item : value.toListRef()) look(item);
    }
  }
  return device;
}

// Tensors and lists of tensors with every tensor replaced by replace(tensor); other values as they are.
template <class Replace>
IValue MapTensors(const IValue& value, Replace replace) {
  if (value.isTensor()) return value.toTensor().defined() ? replace(value.toTensor()) : value;
  if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& t : value.toTensorVector()) list.push_back(t.defined() ? replace(t) : t);
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> list;
    for (const std::optional<Tensor> t : value.toOptionalTensorList()) {
      list.push_back(t.has_value() && t->defined() ? std::optional<Tensor>(replace(*t)) : t);
    }
    return list;
  }
  return value;
}

// Operators that devices let read larger tensors of the host too.
bool TakesHostTensors(const std::string& op) {
  static const std::unordered_set<std::string> names = {"aten::copy_", "aten::index", "aten::index_put",
                                                        "aten::index_put_", "aten::_index_put_impl_",
                                                        "aten::_unsafe_index", "aten::_unsafe_index_put"};
  return names.count(op) != 0;
}

// The arguments of one call, translated, and what has to be done with them afterwards.
class Call {
 public:
  Call(const c10::OperatorHandle& op, Stack* stack)
      : op_(op),
        stack_(*stack),
        first_(stack->size() - op.schema().arguments().size()),
        originals_(stack->begin() + static_cast<std::ptrdiff_t>(first_), stack->end()),
        device_(DeviceOf(originals_)) {}

  void Run() {
    const auto& arguments = op_.schema().arguments();
    if (!TakesHostTensors(op_.operator_name().name)) RequireOneDevice();
    for (std::size_t i = 0; i < arguments.size(); ++i) stack_[first_ + i] = Translate(i, arguments[i]);
    op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack_);
    for (const auto& [cpu, device] : resizable_) {
      if (device.sizes() != cpu.sizes()) device.resize_(cpu.sizes());
      device.copy_(cpu);
    }
    const auto& returns = op_.schema().returns();
    for (std::size_t i = 0; i < returns.size(); ++i) {
      IValue& value = stack_[stack_.size() - returns.size() + i];
      value = Return(returns[i], std::move(value));
    }
  }

 private:
  // As on any device, tensors of the host are scalars.
  void RequireOneDevice() const {
    for (std::size_t i = 0; i < originals_.size(); ++i) {
      MapTensors(originals_[i], [&](const Tensor& t) {
        TORCH_CHECK(!device_.has_value() || device_->type() != kNpu || IsNpu(t) || t.dim() == 0,
                    "Expected all tensors to be on the same device, but got ", op_.schema().arguments()[i].name(),
                    " on ", t.device(), ", different from other tensors on ", *device_, " (", op_.operator_name(), ")");
        return t;
      });
    }
  }

  IValue Translate(std::size_t index, const c10::Argument& argument) {
    const IValue& value = originals_[index];
    // `out` tensors may be resized, which memory of another owner cannot.
    if (argument.is_out() && value.isTensor() && IsNpu(value.toTensor())) {
      resizable_.emplace_back(OnCpu(value.toTensor()).clone(), value.toTensor());
      return resizable_.back().first;
    }
    if (value.isDevice()) return value.toDevice().type() == kNpu ? c10::Device(at::kCPU) : value.toDevice();
    if (value.isGenerator()) {
      const at::Generator generator = value.toGenerator();
      return generator.device().type() == kNpu ? CpuGenerator(generator) : generator;
    }
    const bool random = argument.type()->isSubtypeOf(*c10::OptionalType::create(c10::GeneratorType::get()));
    if (value.isNone() && random && device_.has_value() && device_->type() == kNpu) {
      return CpuGenerator(at::globalContext().defaultGenerator(*device_));
    }
    return MapTensors(value, OnCpu);
  }

  // Results go to the device, unless the schema says that they are an argument.
  IValue Return(const c10::Argument& result, IValue value) {
    if (result.alias_info() != nullptr && result.alias_info()->isWrite()) {
      const auto& arguments = op_.schema().arguments();
      for (std::size_t i = 0; i < arguments.size(); ++i) {
        const c10::AliasInfo* alias = arguments[i].alias_info();
        if (alias != nullptr && *alias == *result.alias_info()) return originals_[i];
      }
    }
    if (!device_.has_value()) return value;
    return MapTensors(value, [this](const Tensor& t) { return OnDevice(t, *device_); });
  }

  const c10::OperatorHandle& op_;
  Stack& stack_;
  std::size_t first_;  // of the call's arguments in the stack
  std::vector<IValue> originals_;
  std::optional<c10::Device> device_;  // of the results; none when all tensors are on the CPU
  std::vector<std::pair<Tensor, Tensor>> resizable_;  // on the CPU, on the device
};

void RequireNoCapture(const c10::OperatorHandle& op) {
  TORCH_CHECK(!IsCapturing(), toString(op.operator_name()),
              " runs on the CPU under the simulator and cannot be part of a captured graph");
}

}  // namespace

void CallOnCpu(const c10::OperatorHandle& op, Stack* stack) {
  RequireNoCapture(op);
  Call(op, stack).Run();
}

void CallOnCpuWithGraph(const c10::OperatorHandle& op, Stack* stack) {
  RequireNoCapture(op);
  const std::size_t inputs = op.schema().arguments().size(), outputs = op.schema().returns().size();
  const c10::Device device = DeviceOf(at::ArrayRef<IValue>(*stack).slice(stack->size() - inputs)).value();
  for (std::size_t i = stack->size() - inputs; i < stack->size(); ++i) {
    (*stack)[i] = MapTensors((*stack)[i], [](const Tensor& t) { return t.cpu(); });
  }
  op.callBoxed(*stack);
  for (std::size_t i = stack->size() - outputs; i < stack->size(); ++i) {
    (*stack)[i] = MapTensors((*stack)[i], [&](const Tensor& t) { return t.to(device); });
  }
}

}  // namespace npufa_sim
