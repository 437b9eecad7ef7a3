// The tiles of a forward call and their distribution over core groups.
#pragma once

#include "forward_tiling.h"

namespace npufa {

// Core groups that the call uses with the lengths that need the most.
std::uint32_t MostCores(const AttentionSpec<std::int64_t>& spec, std::uint32_t tile_rows, const ChipLimits& chip);

// Needs everything but the starts in `tiling`; sets rowsAreHeads, cores and, where lengths are known, start.
void FillWork(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec, const ChipLimits& chip,
              ForwardTiling& tiling);

}  // namespace npufa
