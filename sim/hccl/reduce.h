// Sums, products, maxima and minima of the ranks' elements.
#pragma once

#include <cstdint>

#include "hccl/hccl_types.h"

namespace npufa_sim::hccl {

std::uint64_t BytesOf(HcclDataType type);

// into[i] = into[i] op from[i], rounded to the type. Raises Error for a type without arithmetic, and another operation;
// also for no elements at all.
void Reduce(void* into, const void* from, std::uint64_t count, HcclDataType type, HcclReduceOp op);

}  // namespace npufa_sim::hccl
