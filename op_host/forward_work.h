// The tiles of a forward call and their distribution over core groups.
#pragma once

#include "forward_tiling.h"

namespace npufa {

// Needs everything but the starts in `tiling`; sets rowsAreHeads, cores and start.
void FillWork(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec, const ChipLimits& chip,
              ForwardTiling& tiling);

}  // namespace npufa
