// Constants, indices, broadcasts and copies within the unified buffer.
#pragma once

#include "vector_tensor.h"

namespace npufa_sim {

template <class T>
constexpr bool kWord = kOneOf<T, half, bfloat16_t, float, int16_t, uint16_t, int32_t, uint32_t>;
template <class T>
constexpr bool kNumber = kOneOf<T, half, float, int16_t, int32_t>;

template <class T>
void Duplicate(const AscendC::LocalTensor<T>& dst, T scalar, OperandStride stride, const VectorSweep& sweep) {
  static_assert(kWord<T>, "Duplicate supports 16 and 32-bit element types");
  VectorDuplicate(Operand("dst", dst, stride), ScalarBits(scalar), sweep);
}

template <class T>
void CreateIndex(const AscendC::LocalTensor<T>& dst, T first, OperandStride stride, const VectorSweep& sweep) {
  static_assert(kNumber<T>, "CreateVecIndex supports half, float, int16_t and int32_t");
  VectorIndex(Operand("dst", dst, stride), ScalarBits(first), sweep);
}

template <class T>
void Copy(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src, const AscendC::CopyRepeatParams& p,
          const VectorSweep& sweep) {
  static_assert(kWord<T>, "Copy supports 16 and 32-bit element types");
  OperandStride to = StrideOf(p.dstStride, p.dstRepeatSize), from = StrideOf(p.srcStride, p.srcRepeatSize);
  to.repeat_max = from.repeat_max = 4095;
  VectorCopy(Operand("dst", dst, to), Operand("src", src, from), sweep);
}

}  // namespace npufa_sim

namespace AscendC {

template <typename T, bool isSetMask = true>
__aicore__ inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, uint64_t mask,
                                 const npufa_sim::RepeatTime repeatTime,
                                 const npufa_sim::Field<uint16_t> dstBlockStride,
                                 const npufa_sim::Field<uint8_t> dstRepeatStride,
                                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Duplicate(dst, scalarValue, npufa_sim::StrideOf(dstBlockStride, dstRepeatStride),
                         {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T, bool isSetMask = true>
__aicore__ inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, uint64_t mask[],
                                 const npufa_sim::RepeatTime repeatTime,
                                 const npufa_sim::Field<uint16_t> dstBlockStride,
                                 const npufa_sim::Field<uint8_t> dstRepeatStride,
                                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Duplicate(dst, scalarValue, npufa_sim::StrideOf(dstBlockStride, dstRepeatStride),
                         {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T>
__aicore__ inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, const int32_t& count,
                                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Duplicate(dst, scalarValue, {}, {npufa_sim::CountOf(count), 1, site});
}

template <typename T>
__aicore__ inline void CreateVecIndex(LocalTensor<T>& dst, const T& firstValue, uint64_t mask,
                                      npufa_sim::RepeatTime repeatTime, npufa_sim::Field<uint16_t> dstBlkStride,
                                      npufa_sim::Field<uint8_t> dstRepStride,
                                      npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::CreateIndex(dst, firstValue, npufa_sim::StrideOf(dstBlkStride, dstRepStride),
                           {npufa_sim::MaskArgument::Prefix(mask), repeatTime.value(), site});
}

template <typename T>
__aicore__ inline void CreateVecIndex(LocalTensor<T>& dst, const T& firstValue, uint64_t mask[],
                                      npufa_sim::RepeatTime repeatTime, npufa_sim::Field<uint16_t> dstBlkStride,
                                      npufa_sim::Field<uint8_t> dstRepStride,
                                      npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::CreateIndex(dst, firstValue, npufa_sim::StrideOf(dstBlkStride, dstRepStride),
                           {npufa_sim::MaskArgument::Bits(mask), repeatTime.value(), site});
}

template <typename T>
__aicore__ inline void CreateVecIndex(LocalTensor<T> dst, const T& firstValue, uint32_t count,
                                      npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::CreateIndex(dst, firstValue, {}, {npufa_sim::CountOf(count), 1, site});
}

#ifndef NPUFA_SIM_TOOLKIT_LIBRARIES  // else the toolkit's own
template <typename T>
__aicore__ inline void ArithProgression(const LocalTensor<T>& dst, const T firstValue, const T diffValue,
                                        const int32_t count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kNumber<T>, "ArithProgression supports half, float, int16_t and int32_t");
  if ASCEND_IS_AIV
    npufa_sim::VectorProgression(npufa_sim::Operand("dst", dst), npufa_sim::ScalarBits(firstValue),
                                 npufa_sim::ScalarBits(diffValue), count, site);
}
#endif

template <typename T>
__aicore__ inline void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                            const npufa_sim::RepeatTime repeatTime, const BrcbRepeatParams& repeatParams,
                            npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kWord<T>, "Brcb supports 16 and 32-bit element types");
  if ASCEND_IS_AIV
    npufa_sim::VectorBrcb(
        npufa_sim::Operand("dst", dst, npufa_sim::StrideOf(repeatParams.dstBlkStride, repeatParams.dstRepStride)),
        npufa_sim::Ref("src0", src0), repeatTime.value(), site);
}

template <typename T, bool isSetMask = true>
__aicore__ inline void Copy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask[],
                            const npufa_sim::RepeatTime repeatTime, const CopyRepeatParams& repeatParams,
                            npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Copy(dst, src, repeatParams, {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T, bool isSetMask = true>
__aicore__ inline void Copy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask,
                            const npufa_sim::RepeatTime repeatTime, const CopyRepeatParams& repeatParams,
                            npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Copy(dst, src, repeatParams, {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

}  // namespace AscendC
