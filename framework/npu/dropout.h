// Dropout masks made on the NPU.
#pragma once

#include <ATen/core/Tensor.h>

namespace npufa::npu {

// (ceil(elements / 8),) uint8 on `device`; bits as SPEC section 8 defines them, the same as on the CPU. `op`: the
// operator that needs it, for messages. keep_prob in (0, 1].
at::Tensor GenerateDropoutMask(const char* op, std::int64_t elements, double keep_prob, std::int64_t seed,
                               std::int64_t offset, const at::Device& device);

}  // namespace npufa::npu
