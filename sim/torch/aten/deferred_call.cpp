#include "deferred_call.h"

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../runtime.h"
#include "acl/acl_base.h"
#include "device_values.h"
#include "random.h"
#include "torch_npu_compat.h"

namespace npufa_sim {

namespace {

using at::Tensor;
using c10::IValue;
using torch::jit::Stack;

// Kernels are called below all of these, whatever the thread that replays a graph has turned on.
c10::DispatchKeySet AboveKernels() {
  return c10::autograd_dispatch_keyset_with_ADInplaceOrView | c10::autocast_dispatch_keyset |
         c10::DispatchKeySet({c10::DispatchKey::Python, c10::DispatchKey::PythonTLSSnapshot,
                              c10::DispatchKey::PythonDispatcher, c10::DispatchKey::Functionalize});
}

std::size_t StorageBytes(const Tensor& t) { return t.defined() && t.numel() != 0 ? t.storage().nbytes() : 0; }

bool IsMask(const Tensor& t) { return t.scalar_type() == at::kBool || t.scalar_type() == at::kByte; }

bool IsWritten(const c10::Argument& argument) {
  return argument.alias_info() != nullptr && argument.alias_info()->isWrite();
}

Tensor OnMeta(const Tensor& t) {
  if (!IsNpu(t)) return t;
  Tensor meta = at::empty_strided(t.sizes(), t.strides(), t.options().device(at::kMeta));
  meta._set_conj(t.is_conj());
  meta._set_neg(t.is_neg());
  return meta;
}

// A device tensor like a result of a meta kernel.
Tensor LikeMeta(const Tensor& meta, c10::Device device) {
  const auto options = meta.options().device(device);
  return meta.is_non_overlapping_and_dense() ? at::empty_strided(meta.sizes(), meta.strides(), options)
                                             : at::empty(meta.sizes(), options);
}

// Calls visit(tensor) for every tensor of an argument or result, undefined ones included.
template <class Visit>
void VisitTensors(const IValue& value, Visit visit) {
  if (value.isTensor()) visit(value.toTensor());
  if (value.isTensorList()) {
    for (const Tensor& t : value.toTensorVector()) visit(t);
  }
  if (value.isOptionalTensorList()) {
    for (const OptionalTensor t : value.toOptionalTensorList()) visit(t.value_or(Tensor()));
  }
}

// Everything is on the CPU, on memory that it does not own: as on a device, the order of the stream and the memory pool
// of the graph keep it.
class Task {
 public:
  explicit Task(const c10::OperatorHandle& op) : op_(op) {}

  // Arguments in their order; a generator is made anew for each execution.
  void AddArgument(IValue value) {
    VisitTensors(value, [this](const Tensor& t) { Remember(t); });
    arguments_.push_back(std::move(value));
  }
  void AddGenerator(std::function<at::Generator()> generator) {
    generators_.emplace_back(arguments_.size(), std::move(generator));
    arguments_.emplace_back();
  }
  void SetDefaultGenerator(std::function<at::Generator()> generator) { default_generator_ = std::move(generator); }
  // Where results go that are not arguments, one per tensor in their order; undefined ones are dropped.
  void AddResult(const Tensor& cpu) {
    Remember(cpu);
    results_.push_back(cpu);
  }

  int Run() const {
    try {
      for (const auto& [address, bytes] : memory_) {
        TORCH_CHECK(IsDeviceMemory(address, bytes), "memory that it uses was freed after the capture");
      }
      Execute();
      return ACL_SUCCESS;
    } catch (const c10::Error& error) {
      return Failed(error.what_without_backtrace());
    } catch (const std::exception& error) {
      return Failed(error.what());
    }
  }

 private:
  void Remember(const Tensor& t) {
    if (const std::size_t bytes = StorageBytes(t); bytes != 0 && IsDeviceMemory(t.storage().data(), bytes)) {
      memory_.emplace_back(t.storage().data(), bytes);
    }
  }

  void Execute() const {
    const c10::impl::ExcludeDispatchKeyGuard below(AboveKernels());
    Stack stack = arguments_;
    for (const auto& [index, generator] : generators_) stack[index] = generator();
    std::optional<DefaultGenerator> draws;
    if (default_generator_) draws.emplace(default_generator_());
    op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack);
    draws.reset();
    std::size_t next = 0;
    for (std::size_t i = 0; i < stack.size(); ++i) {
      if (ArgumentOfResult(op_, i).has_value()) continue;
      VisitTensors(stack[i], [&](const Tensor& t) {
        const Tensor& result = results_.at(next++);
        if (!result.defined() || !t.defined()) return;
        TORCH_CHECK(result.sizes() == t.sizes(), "a result has shape ", t.sizes(), ", at capture it had ",
                    result.sizes());
        result.copy_(t);
      });
    }
  }

  int Failed(const std::string& message) const {
    SetRecentError(toString(op_.operator_name()) + ", captured or waiting in its stream: " + message);
    return ACL_ERROR_RT_AICORE_EXCEPTION;
  }

  c10::OperatorHandle op_;
  Stack arguments_;
  std::vector<std::pair<std::size_t, std::function<at::Generator()>>> generators_;
  std::function<at::Generator()> default_generator_;  // of operators that take none
  std::vector<Tensor> results_;
  std::vector<std::pair<const void*, std::size_t>> memory_;
};

class DeferredCall {
 public:
  DeferredCall(const c10::OperatorHandle& op, Stack* stack, TaskOrder order)
      : op_(op), stack_(*stack),
        arguments_(stack->end() - static_cast<std::ptrdiff_t>(op.schema().arguments().size()), stack->end()),
        device_(DeviceOf(arguments_)), captured_(order == TaskOrder::kCaptured) {}

  void Submit(void* stream) {
    RequireOneDevice(op_, arguments_, device_);
    RequireTask();
    const Stack shapes = RunOnMeta();
    auto task = std::make_shared<Task>(op_);
    for (std::size_t i = 0; i < arguments_.size(); ++i) AddArgument(i, task.get());
    if (DrawsFromDefault(op_)) {
      task->SetDefaultGenerator(Draws(npufa::torch_npu::DefaultGenerator(*device_)));
    }
    Stack results;
    for (std::size_t i = 0; i < shapes.size(); ++i) results.push_back(Result(i, shapes[i], task.get()));
    const int status = SubmitToStream(stream, [task] { return task->Run(); });
    TORCH_CHECK(status == ACL_SUCCESS, toString(op_.operator_name()), ": its stream fails with ACL error ", status);
    torch::jit::drop(stack_, arguments_.size());
    for (IValue& result : results) torch::jit::push(stack_, std::move(result));
  }

 private:
  void Require(bool legal, const std::string& reason) const {
    TORCH_CHECK(legal, toString(op_.operator_name()), " cannot be part of a captured graph: ", reason);
  }

  // Indexing is tagged as depending on values, which is so only for masks.
  void RequireTask() const {
    const bool indexing = TakesHostTensors(op_.operator_name().name);
    Require(indexing || (!op_.hasTag(at::Tag::dynamic_output_shape) && !op_.hasTag(at::Tag::data_dependent_output)),
            "its result depends on values that the host would have to read");
    Require(device_.has_value() && device_->type() == kNpu, "its result is a tensor of the host");
    for (const c10::Argument& result : op_.schema().returns()) {
      const bool tensors = result.type()->isSubtypeOf(*c10::TensorType::get()) ||
                           result.type()->isSubtypeOf(*c10::ListType::ofTensors());
      Require(tensors, "it returns a value to the host");
    }
    const auto& arguments = op_.schema().arguments();
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      VisitTensors(arguments_[i], [&](const Tensor& t) {
        if (!t.defined()) return;
        const std::string& name = arguments[i].name();
        Require(IsNpu(t) || t.dim() == 0, name + " is a tensor of the host");
        Require(IsNpu(t) || !IsWritten(arguments[i]), name + " would be written on the host");
        Require(!indexing || name != "indices" || !IsMask(t),
                "a mask selects a number of elements that the host would have to read");
      });
    }
  }

  // Shapes and types of the results; what would be written is left alone. Without a meta kernel torch raises.
  Stack RunOnMeta() const {
    Stack stack;
    for (const IValue& value : arguments_) {
      const bool device = value.isDevice() && value.toDevice().type() == kNpu;
      stack.push_back(device ? IValue(c10::Device(at::kMeta)) : MapTensors(value, OnMeta));
    }
    const Stack arguments = stack;
    op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::Meta), &stack);
    ResizeOutputs(arguments);
    return stack;
  }

  void ResizeOutputs(const Stack& meta) const {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (!op_.schema().arguments()[i].is_out() || !arguments_[i].isTensor()) continue;
      const Tensor& device = arguments_[i].toTensor();
      const Tensor& shape = meta[i].toTensor();
      if (device.sizes() != shape.sizes()) device.resize_(shape.sizes());
    }
  }

  void AddArgument(std::size_t index, Task* task) const {
    const c10::Argument& argument = op_.schema().arguments()[index];
    const IValue& value = arguments_[index];
    if (value.isGenerator() && value.toGenerator().device().type() == kNpu) {
      task->AddGenerator(Draws(value.toGenerator()));
    } else if (value.isNone() && IsGenerator(argument)) {
      task->AddGenerator(Draws(npufa::torch_npu::DefaultGenerator(*device_)));
    } else if (value.isDevice() && value.toDevice().type() == kNpu) {
      task->AddArgument(c10::Device(at::kCPU));
    } else {
      task->AddArgument(MapTensors(value, [this](const Tensor& t) { return Operand(t); }));
    }
  }

  std::function<at::Generator()> Draws(const at::Generator& generator) const {
    if (captured_) return CapturedGenerator(generator);
    return [drawn = CpuGenerator(generator)] { return drawn; };
  }

  // Scalars of the host by value, as devices take them.
  Tensor Operand(const Tensor& t) const {
    if (IsNpu(t)) return OnCpu(t, false);
    Tensor copy = t.clone();
    if (t.unsafeGetTensorImpl()->is_wrapped_number()) copy.unsafeGetTensorImpl()->set_wrapped_number(true);
    return copy;
  }

  IValue Result(std::size_t index, const IValue& shape, Task* task) const {
    if (const auto argument = ArgumentOfResult(op_, index)) return arguments_[*argument];
    std::vector<Tensor> made;
    VisitTensors(shape, [&](const Tensor& t) {
      made.push_back(t.defined() ? LikeMeta(t, device_.value()) : Tensor());
      task->AddResult(made.back().defined() ? OnCpu(made.back(), false) : Tensor());
    });
    if (shape.isTensorList()) return c10::List<Tensor>(made);
    return made.at(0);
  }

  const c10::OperatorHandle& op_;
  Stack& stack_;
  const std::vector<IValue> arguments_;
  const std::optional<c10::Device> device_;
  const bool captured_;
};

}  // namespace

void DeferOnCpu(const c10::OperatorHandle& op, Stack* stack, void* stream, TaskOrder order) {
  DeferredCall(op, stack, order).Submit(stream);
}

}  // namespace npufa_sim
