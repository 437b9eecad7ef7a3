// Dropout masks made on the NPU.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/fusion_results.h"

namespace npufa::npu {

// (ceil(elements / 8),) uint8 on `device`; bits as SPEC section 8 defines them, the same as on the CPU. `op`: the
// operator that needs it, for messages. keep_prob in (0, 1].
at::Tensor GenerateDropoutMask(const char* op, std::int64_t elements, double keep_prob, const Seed& seed,
                               const at::Device& device);

// The state of the device's generator, which moves on by the `words` that are used: after manual_seed(s) the first mask
// is that of (s, 0), as in torch_npu. While a graph is captured the numbers are tensors, which its replays fill; an
// operator that returns integers raises then.
Seed DrawSeed(const Arguments& a, std::int64_t words, const at::Device& device);

}  // namespace npufa::npu
