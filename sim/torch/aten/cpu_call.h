// One call of an aten operator on the CPU with tensors of the simulated device.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace npufa_sim {

// Boxed kernel: executes the operator's CPU kernel on the device tensors of the stack, and returns device tensors.
// Device memory is host memory, so that the CPU works on it in place: views, strides and overlap are the real ones.
void CallOnCpu(const c10::OperatorHandle& op, torch::jit::Stack* stack);

// The same above autograd, for operators whose derivative depends on the device: copies to the CPU and back are part of
// the graph.
void CallOnCpuWithGraph(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace npufa_sim
