// Work partition of the forward kernels: one attention call on one chip as the kernel's ForwardTiling.
#pragma once

#include "../../op_kernel/tiling/forward_tiling.h"
#include "tensor_strides.h"

namespace npufa {

// How a kernel is launched, beside its tiling data.
struct ForwardLaunch {
  std::uint64_t tiling_key = 0;
  std::uint32_t block_dim = 1;
  std::uint64_t workspace_bytes = 0;  // of the kernel, without what the toolkit asks for
  bool waits_for_all = false;         // cores wait for one another
};

// `spec` = Describe(call); the query is not empty. Throws ArgumentError where the call is beyond what the kernels can do.
ForwardLaunch FillTiling(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec, float scale,
                         const ChipLimits& chip, ForwardTiling& tiling);

}  // namespace npufa
