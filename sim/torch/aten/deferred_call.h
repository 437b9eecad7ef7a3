// One call of an aten operator that is executed later: part of a captured graph, or behind an event.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include "../graph_guard.h"

namespace npufa_sim {

// Submits the operator's CPU kernel as a task on the memory of the device tensors of the stack, and returns device
// tensors whose contents the task will write; shapes and types are those of the operator's meta kernel. Raises, with
// the operator's name, for what cannot be a task: results that depend on values, tensors of the host.
void DeferOnCpu(const c10::OperatorHandle& op, torch::jit::Stack* stack, void* stream, TaskOrder order);

}  // namespace npufa_sim
