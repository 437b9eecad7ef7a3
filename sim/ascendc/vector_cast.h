// Conversion between element types.
#pragma once

#include "vector_tensor.h"

namespace npufa_sim {

// Pairs of destination and source types of the dav-2201.
template <class D, class S>
constexpr bool CanCast() {
  using AscendC::int4b_t;
  if constexpr (std::is_same_v<S, float>) return kOneOf<D, float, half, bfloat16_t, int16_t, int32_t, int64_t>;
  else if constexpr (std::is_same_v<S, half>) return kOneOf<D, float, int4b_t, int8_t, uint8_t, int16_t, int32_t>;
  else if constexpr (std::is_same_v<S, bfloat16_t>) return kOneOf<D, float, int32_t>;
  else if constexpr (kOneOf<S, int4b_t, int8_t, uint8_t>) return kOneOf<D, half>;
  else if constexpr (std::is_same_v<S, int16_t>) return kOneOf<D, half, float>;
  else if constexpr (std::is_same_v<S, int32_t>) return kOneOf<D, half, float, int16_t, int64_t>;
  else if constexpr (std::is_same_v<S, int64_t>) return kOneOf<D, float, int32_t>;
  else return false;
}

template <class D, class S>
void Cast(const AscendC::LocalTensor<D>& dst, const AscendC::LocalTensor<S>& src, AscendC::RoundMode mode,
          const AscendC::UnaryRepeatParams& p, const VectorSweep& sweep) {
  static_assert(CanCast<D, S>(), "Cast: the chip has no conversion between these element types");
  VectorCast(Operand("dst", dst, StrideOf(p.dstBlkStride, p.dstRepStride)),
             Operand("src", src, StrideOf(p.srcBlkStride, p.srcRepStride)), static_cast<Rounding>(mode), sweep);
}

}  // namespace npufa_sim

namespace AscendC {

template <typename T1, typename T2, bool isSetMask = true>
__aicore__ inline void Cast(const LocalTensor<T1>& dst, const LocalTensor<T2>& src, const RoundMode& roundMode,
                            const uint64_t mask[], const npufa_sim::RepeatTime repeatTime,
                            const UnaryRepeatParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Cast(dst, src, roundMode, repeatParams, {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T1, typename T2, bool isSetMask = true>
__aicore__ inline void Cast(const LocalTensor<T1>& dst, const LocalTensor<T2>& src, const RoundMode& roundMode,
                            const uint64_t mask, const npufa_sim::RepeatTime repeatTime,
                            const UnaryRepeatParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Cast(dst, src, roundMode, repeatParams, {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T1, typename T2>
__aicore__ inline void Cast(const LocalTensor<T1>& dst, const LocalTensor<T2>& src, const RoundMode& roundMode,
                            const uint32_t count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Cast(dst, src, roundMode,
                    {1, 1, npufa_sim::Contiguous<T1, T2>().repeat, npufa_sim::Contiguous<T2, T1>().repeat},
                    {npufa_sim::CountOf(count), 1, site});
}

__aicore__ inline void SetDeqScale(half scale) {
  if ASCEND_IS_AIV
    npufa_sim::SetDequantScale(npufa_sim::ScalarBits(scale));
}

}  // namespace AscendC
