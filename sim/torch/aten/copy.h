// aten::copy_ between devices, views and types.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace npufa_sim {

// Keeps torch_npu's own kernel, which does all copies but those that need operators of CANN besides aclnnInplaceCopy:
// conversions on the way from or to the host, conjugate and negative views, and types that the chip does not have.
void KeepCopyKernel(const c10::OperatorHandle& op);

void Copy(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace npufa_sim
