// Puts the CPU's kernels in the place of those that torch_npu has for aten operators, most of which need CANN.
#include <torch/library.h>

#include <string>
#include <unordered_set>

#include "copy.h"
#include "cpu_call.h"

namespace npufa_sim {

namespace {

using c10::DispatchKey;
using torch::CppFunction;
using torch::jit::Stack;

// Operators that make, move and own device memory: torch_npu's own.
const std::unordered_set<std::string> kKept = {
    "aten::_copy_from",
    "aten::_copy_from_and_resize",
    "aten::_has_compatible_shallow_copy_type",
    "aten::_local_scalar_dense",
    "aten::_pin_memory",
    "aten::empty",
    "aten::empty_strided",
    "aten::is_pinned",
    "aten::pin_memory",
    "aten::record_stream",
    "aten::resize_",
    "aten::set_",
};

// Operators that look at the type of the device on the way to their kernels.
const std::unordered_set<std::string> kByDevice = {"aten::convolution", "aten::convolution_backward"};
const std::unordered_set<std::string> kByDeviceWithGraph = {"aten::gru", "aten::gru_cell", "aten::lstm",
                                                            "aten::lstm_cell"};

// Operators whose general form serves every device: copies, allocations, and one with a result on the host.
const std::unordered_set<std::string> kGeneral = {
    "aten::_pack_padded_sequence", "aten::_to_copy", "aten::clone", "aten::empty_like", "aten::new_empty",
    "aten::new_empty_strided"};

// Operators that only change how memory is looked at.
bool IsView(const c10::OperatorHandle& op) {
  for (const c10::Argument& result : op.schema().returns()) {
    if (result.alias_info() != nullptr && !result.alias_info()->isWrite()) return true;
  }
  return op.hasTag(at::Tag::inplace_view);
}

template <DispatchKey key>
void CallKernelOf(const c10::OperatorHandle& op, Stack* stack) {
  op.callBoxedForDispatchKey(key, *stack);
}

struct Registered {
  torch::Library backend{torch::Library::IMPL, "aten", DispatchKey::PrivateUse1, __FILE__, __LINE__};
  torch::Library autograd{torch::Library::IMPL, "aten", DispatchKey::AutogradPrivateUse1, __FILE__, __LINE__};
  std::int64_t count = 0;

  void Replace(const c10::OperatorHandle& op) {
    const std::string& name = op.operator_name().name;
    const bool npu = op.hasKernelForDispatchKey(DispatchKey::PrivateUse1);
    if (name == "aten::copy_") {
      KeepCopyKernel(op);
      Put(op, &backend, CppFunction::makeFromBoxedFunction<&Copy>());
    } else if (kByDeviceWithGraph.count(name) != 0) {
      Put(op, &autograd, CppFunction::makeFromBoxedFunction<&CallOnCpuWithGraph>());
      Put(op, &backend, CppFunction::makeFromBoxedFunction<&CallOnCpuWithGraph>());  // torch.inference_mode
    } else if (op.hasKernelForDispatchKey(DispatchKey::CompositeImplicitAutograd)) {
      if (!npu) return;
      // Made of other operators, derivative included.
      Put(op, &autograd, CppFunction::makeFromBoxedFunction<&CallKernelOf<DispatchKey::CompositeImplicitAutograd>>());
      Put(op, &backend, CppFunction::makeFromBoxedFunction<&CallKernelOf<DispatchKey::CompositeImplicitAutograd>>());
    } else if (kGeneral.count(name) != 0) {
      // Overloads with `out` follow from these.
      if (!op.hasKernelForDispatchKey(DispatchKey::CompositeExplicitAutograd)) return;
      Put(op, &backend, CppFunction::makeFromBoxedFunction<&CallKernelOf<DispatchKey::CompositeExplicitAutograd>>());
    } else if (IsView(op) || !op.hasComputedKernelForDispatchKey(DispatchKey::CPU)) {
      return;
    } else if (npu || op.hasKernelForDispatchKey(DispatchKey::CPU) || kByDevice.count(name) != 0) {
      Put(op, &backend, CppFunction::makeFromBoxedFunction<&CallOnCpu>());
      // torch_npu's derivatives call operators of its own.
      if (op.hasKernelForDispatchKey(DispatchKey::AutogradPrivateUse1) &&
          op.hasKernelForDispatchKey(DispatchKey::Autograd)) {
        Put(op, &autograd, CppFunction::makeFromBoxedFunction<&CallKernelOf<DispatchKey::Autograd>>());
      }
    } else {
      return;
    }
    ++count;
  }

  void Put(const c10::OperatorHandle& op, torch::Library* library, CppFunction kernel) {
    library->impl(toString(op.operator_name()).c_str(), std::move(kernel));
  }
};

// Replacing kernels is what this is for: no warning about it.
class Silence : public c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

// Number of operators replaced; a second call changes nothing.
std::int64_t RegisterCpuKernels() {
  static const std::int64_t count = [] {
    Silence silence;
    const c10::WarningUtils::WarningHandlerGuard quiet(&silence);
    auto* registered = new Registered;  // for as long as the process lives
    auto& dispatcher = c10::Dispatcher::singleton();
    for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
      if (name.name.rfind("aten::", 0) != 0 || kKept.count(name.name) != 0) continue;
      if (const auto op = dispatcher.findSchema(name)) registered->Replace(*op);
    }
    return registered->count;
  }();
  return count;
}

}  // namespace

}  // namespace npufa_sim

TORCH_LIBRARY(npufa_sim, m) { m.def("register_cpu_kernels", &npufa_sim::RegisterCpuKernels); }
