// The units of work of a backward call and their distribution over core groups.
#pragma once

#include "backward_tiling.h"

namespace npufa {

std::uint32_t LargestKeyBlock(const AttentionSpec<std::int64_t>& spec);

// Needs the forward part and the pitches of `tiling`; sets keyBlock, cores, start and the copies of query gradients.
void FillBackwardWork(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec,
                      const ChipLimits& chip, BackwardTiling& tiling);

}  // namespace npufa
