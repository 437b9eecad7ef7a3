// How the kernels find the scales and offsets of a quantised key/value cache.
#pragma once

#include "../../op_kernel/tiling/forward_tiling.h"
#include "tensor_strides.h"

namespace npufa {

void FillAntiquant(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec,
                   AntiquantTiling& key, AntiquantTiling& value);

}  // namespace npufa
