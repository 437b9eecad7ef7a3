// bfloat16 numbers of host code: those of kernels.
#pragma once

#include "ascendc/dtypes.h"

namespace op {
using bfloat16 = ::bfloat16_t;
}  // namespace op
