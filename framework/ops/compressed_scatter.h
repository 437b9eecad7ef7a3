// Keys and values of whole sequences into compressed caches: every head has slots of its own.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace npufa {

// Whether the call is one of these (keys of four dimensions); then it has run, as a call for single tokens.
bool ScatterCompressed(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace npufa
