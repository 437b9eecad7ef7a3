// Values as sums of bfloat16 planes: the rounded value, what that leaves rounded, and so on.
#pragma once

#include "convert.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

// Calls f(std::integral_constant<int, count>) for a number of planes.
template <class F>
NPUFA_INLINE void WithPlanes(std::int64_t count, F&& f) {
  switch (count) {
    case 1: return f(std::integral_constant<int, 1>{});
    case 2: return f(std::integral_constant<int, 2>{});
    default: return f(std::integral_constant<int, 3>{});
  }
}

template <int kCount>
NPUFA_INLINE void Split(VecF x, VecU16 (&planes)[kCount]) {
#pragma GCC unroll 3
  for (int i = 0; i < kCount; ++i) {
    planes[i] = RoundToBFloat16Fast(x);
    x -= FromBits(Widen(planes[i]) << 16);
  }
}

// The planes of kWidth values at an offset of each plane.
template <int kCount>
NPUFA_INLINE void StoreSplit(std::uint16_t* p, std::int64_t stride, VecF x) {
  VecU16 planes[kCount];
  Split(x, planes);
#pragma GCC unroll 3
  for (int i = 0; i < kCount; ++i) StoreU16(p + i * stride, planes[i]);
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
