#include "cpu_call.h"

#include <ATen/ATen.h>

#include <optional>
#include <utility>
#include <vector>

#include "../graph_guard.h"
#include "deferred_call.h"
#include "device_values.h"
#include "random.h"
#include "torch_npu_compat.h"

namespace npufa_sim {

namespace {

using at::Tensor;
using c10::IValue;
using torch::jit::Stack;

// A copy of a CPU result on its device.
Tensor OnDevice(const Tensor& t, c10::Device device) {
  if (t.device() == device) return t;
  const auto options = t.options().device(device);
  Tensor copy = t.is_non_overlapping_and_dense() ? at::empty_strided(t.sizes(), t.strides(), options)
                                                 : at::empty(t.sizes(), options);
  OnCpu(copy).copy_(t);
  return copy;
}

// The arguments of one call, translated, and what has to be done with them afterwards.
class Call {
 public:
  Call(const c10::OperatorHandle& op, Stack* stack)
      : op_(op), stack_(*stack), first_(stack->size() - op.schema().arguments().size()),
        originals_(stack->begin() + static_cast<std::ptrdiff_t>(first_), stack->end()), device_(DeviceOf(originals_)) {}

  void Run() {
    const auto& arguments = op_.schema().arguments();
    RequireOneDevice(op_, originals_, device_);
    for (std::size_t i = 0; i < arguments.size(); ++i) stack_[first_ + i] = Translate(i, arguments[i]);
    std::optional<DefaultGenerator> draws;
    if (DrawsFromDefault(op_) && device_.has_value() && device_->type() == kNpu) {
      draws.emplace(CpuGenerator(npufa::torch_npu::DefaultGenerator(*device_)));
    }
    op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack_);
    draws.reset();
    for (const auto& [cpu, device] : resizable_) {
      if (device.sizes() != cpu.sizes()) device.resize_(cpu.sizes());
      OnCpu(device).copy_(cpu);
    }
    const auto& returns = op_.schema().returns();
    for (std::size_t i = 0; i < returns.size(); ++i) {
      IValue& value = stack_[stack_.size() - returns.size() + i];
      value = Return(i, std::move(value));
    }
  }

 private:
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
    if (value.isNone() && IsGenerator(argument) && device_.has_value() && device_->type() == kNpu) {
      return CpuGenerator(npufa::torch_npu::DefaultGenerator(*device_));
    }
    return MapTensors(value, [](const Tensor& t) { return OnCpu(t); });
  }

  // Results go to the device, unless the schema says that they are an argument.
  IValue Return(std::size_t index, IValue value) {
    if (const auto argument = ArgumentOfResult(op_, index)) return originals_[*argument];
    if (!device_.has_value()) return value;
    return MapTensors(value, [this](const Tensor& t) { return OnDevice(t, *device_); });
  }

  const c10::OperatorHandle& op_;
  Stack& stack_;
  std::size_t first_;  // of the call's arguments in the stack
  std::vector<IValue> originals_;
  std::optional<c10::Device> device_;                 // of the results; none when all tensors are on the CPU
  std::vector<std::pair<Tensor, Tensor>> resizable_;  // on the CPU, on the device
};

}  // namespace

void CallOnCpu(const c10::OperatorHandle& op, Stack* stack) {
  const std::size_t inputs = op.schema().arguments().size();
  void* stream = CurrentStream(DeviceOf(at::ArrayRef<IValue>(*stack).slice(stack->size() - inputs)));
  if (const TaskOrder order = TaskOrderOf(stream); order != TaskOrder::kAtOnce) {
    DeferOnCpu(op, stack, stream, order);
  } else {
    Call(op, stack).Run();
  }
}

void CallOnCpuWithGraph(const c10::OperatorHandle& op, Stack* stack) {
  TORCH_CHECK(!IsCapturing(), toString(op.operator_name()),
              " runs on copies of its arguments under the simulator and cannot be part of a captured graph");
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
