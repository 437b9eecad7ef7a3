// One backward attention call on one chip as the kernel's BackwardTiling.
#pragma once

#include "../../op_kernel/tiling/backward_tiling.h"
#include "forward_tiling.h"

namespace npufa {

using BackwardLaunch = ForwardLaunch;

// `spec` = Describe(call) of a training call; the query is not empty. Throws ArgumentError where the call is beyond
// what the kernel can do.
BackwardLaunch FillBackwardTiling(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec,
                                  float scale, const ChipLimits& chip, BackwardTiling& tiling);

// `tiling` is that of one call; the same call with other lengths may need another workspace, but not more than this.
std::uint64_t BackwardWorkspaceForAnyLengths(const AttentionSpec<std::int64_t>& spec, const ChipLimits& chip,
                                             BackwardTiling tiling);

}  // namespace npufa
