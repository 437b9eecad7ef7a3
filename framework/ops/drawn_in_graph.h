// Dropout of v1 and v2 in a graph, whose seed is to be drawn at every run though the operators return it as an integer.
#pragma once

#include "arguments.h"

namespace npufa {

// Whether the call draws its seed and a graph is being recorded. Beside an offset of the caller's the graph holds the
// operator itself, whose integers reach the backward pass.
bool IsDrawnInGraph(const c10::OperatorHandle& op, const torch::jit::Stack& stack);

// Records `_npu_fusion_attention_drawn`: its seed and offset are tensors, which the backward pass takes as they are. A
// graph reads the integers from them only where it uses these.
void DrawInGraph(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace npufa
