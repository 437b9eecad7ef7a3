// Work partition of the forward kernels: one attention call on one chip as the kernel's ForwardTiling.
#pragma once

#include "../op_kernel/attention/forward_tiling.h"
#include "common/attention_call.h"
#include "common/attention_spec.h"

namespace npufa {

struct ChipLimits {
  std::uint32_t cube_cores = 1;
};

// How a kernel is launched, beside its tiling data.
struct ForwardLaunch {
  std::uint64_t tiling_key = 0;
  std::uint32_t block_dim = 1;
  std::uint64_t workspace_bytes = 0;  // of the kernel, without what the toolkit asks for
};

// `call` and `spec` = Describe(call) of a call without quantisation, paging or packing; the query is not empty. Throws
// ArgumentError where the call is beyond what the kernel's tiling can express.
ForwardLaunch FillTiling(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec, float scale,
                         const ChipLimits& chip, ForwardTiling& tiling);

}  // namespace npufa
