// Half precision numbers of host code: those of kernels.
#pragma once

#include "ascendc/dtypes.h"

namespace op {
using fp16_t = ::half;
}  // namespace op
