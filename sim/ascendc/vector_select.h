// Comparisons to bit masks, and selection by them.
#pragma once

#include "vector_tensor.h"

namespace npufa_sim {

template <class T, class U>
void Compare(AscendC::CMPMODE mode, const AscendC::LocalTensor<U>& dst, const AscendC::LocalTensor<T>& src0,
             const AscendC::LocalTensor<T>& src1, const AscendC::BinaryRepeatParams& p, const VectorSweep& sweep) {
  static_assert(kOneOf<T, half, float, int32_t> && kOneOf<U, int8_t, uint8_t>,
                "Compare supports half, float and int32_t, with a result of int8_t or uint8_t");
  VectorCompare(static_cast<Comparison>(mode), Ref("dst", dst),
                Operand("src0", src0, StrideOf(p.src0BlkStride, p.src0RepStride)),
                Operand("src1", src1, StrideOf(p.src1BlkStride, p.src1RepStride)), sweep);
}

template <class T>
void CompareToRegister(AscendC::CMPMODE mode, const AscendC::LocalTensor<T>& src0, const AscendC::LocalTensor<T>& src1,
                       const AscendC::BinaryRepeatParams& p, const VectorSweep& sweep) {
  static_assert(kOneOf<T, half, float>, "Compare into the CMPMASK register supports half and float");
  VectorCompareToRegister(static_cast<Comparison>(mode),
                          Operand("src0", src0, StrideOf(p.src0BlkStride, p.src0RepStride)),
                          Operand("src1", src1, StrideOf(p.src1BlkStride, p.src1RepStride)), sweep);
}

template <class T, class U>
void CompareScalar(AscendC::CMPMODE mode, const AscendC::LocalTensor<U>& dst, const AscendC::LocalTensor<T>& src,
                   T scalar, const AscendC::UnaryRepeatParams& p, const VectorSweep& sweep) {
  static_assert(kOneOf<T, half, float, int32_t> && kOneOf<U, uint8_t>,
                "CompareScalar supports half, float and int32_t, with a result of uint8_t");
  VectorCompareScalar(static_cast<Comparison>(mode), Ref("dst", dst),
                      Operand("src0", src, StrideOf(p.srcBlkStride, p.srcRepStride)), ScalarBits(scalar), sweep);
}

template <class T, class U>
constexpr bool kCanSelect = kOneOf<T, half, float> && kOneOf<U, uint8_t, uint16_t, uint32_t, uint64_t>;

template <class T, class U>
void Select(AscendC::SELMODE mode, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<U>& selection,
            const AscendC::LocalTensor<T>& src0, const AscendC::LocalTensor<T>& src1,
            const AscendC::BinaryRepeatParams& p, const VectorSweep& sweep) {
  static_assert(kCanSelect<T, U>, "Select supports half and float, selected by unsigned integers");
  VectorSelect(static_cast<SelectMode>(mode), Operand("dst", dst, StrideOf(p.dstBlkStride, p.dstRepStride)),
               Ref("selMask", selection), Operand("src0", src0, StrideOf(p.src0BlkStride, p.src0RepStride)),
               Operand("src1", src1, StrideOf(p.src1BlkStride, p.src1RepStride)), sweep);
}

template <class T, class U>
void SelectScalar(AscendC::SELMODE mode, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<U>& selection,
                  const AscendC::LocalTensor<T>& src0, T scalar, const AscendC::BinaryRepeatParams& p,
                  const VectorSweep& sweep) {
  static_assert(kCanSelect<T, U>, "Select supports half and float, selected by unsigned integers");
  if (mode != AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE) {
    Fault("parameter", sweep.site, "Select", "selMode does not fit a scalar", "use SELMODE::VSEL_TENSOR_SCALAR_MODE");
  }
  VectorSelectScalar(Operand("dst", dst, StrideOf(p.dstBlkStride, p.dstRepStride)), Ref("selMask", selection),
                     Operand("src0", src0, StrideOf(p.src0BlkStride, p.src0RepStride)), ScalarBits(scalar), sweep);
}

}  // namespace npufa_sim

namespace AscendC {

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                               CMPMODE cmpMode, const uint64_t mask[], npufa_sim::RepeatTime repeatTime,
                               const BinaryRepeatParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  (void)mask;
  if ASCEND_IS_AIV
    npufa_sim::Compare(cmpMode, dst, src0, src1, repeatParams,
                       {npufa_sim::MaskArgument::Register(), repeatTime.value(), site});
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                               CMPMODE cmpMode, const uint64_t mask, npufa_sim::RepeatTime repeatTime,
                               const BinaryRepeatParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  (void)mask;
  if ASCEND_IS_AIV
    npufa_sim::Compare(cmpMode, dst, src0, src1, repeatParams,
                       {npufa_sim::MaskArgument::Register(), repeatTime.value(), site});
}

template <typename T, typename U>
__aicore__ inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                               CMPMODE cmpMode, uint32_t count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Compare(cmpMode, dst, src0, src1, {}, {npufa_sim::CountOf(count), 1, site});
}

template <typename T, bool isSetMask = true>
__aicore__ inline void Compare(const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE cmpMode,
                               const uint64_t mask[], const BinaryRepeatParams& repeatParams,
                               npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::CompareToRegister(cmpMode, src0, src1, repeatParams, {npufa_sim::MaskOf<isSetMask>(mask), 1, site});
}

template <typename T, bool isSetMask = true>
__aicore__ inline void Compare(const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE cmpMode,
                               const uint64_t mask, const BinaryRepeatParams& repeatParams,
                               npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::CompareToRegister(cmpMode, src0, src1, repeatParams, {npufa_sim::MaskOf<isSetMask>(mask), 1, site});
}

template <typename T>
__aicore__ inline void GetCmpMask(const LocalTensor<T>& dst, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::GetCompareMask(npufa_sim::Ref("dst", dst), site);
}

template <typename T>
__aicore__ inline void SetCmpMask(const LocalTensor<T>& src, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::SetCompareMask(npufa_sim::Ref("src", src), site);
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void CompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,
                                     CMPMODE cmpMode, const uint64_t mask[], npufa_sim::RepeatTime repeatTime,
                                     const UnaryRepeatParams& repeatParams,
                                     npufa_sim::Site site = npufa_sim::Site::Here()) {
  (void)mask;
  if ASCEND_IS_AIV
    npufa_sim::CompareScalar(cmpMode, dst, src0, src1Scalar, repeatParams,
                             {npufa_sim::MaskArgument::Register(), repeatTime.value(), site});
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void CompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,
                                     CMPMODE cmpMode, const uint64_t mask, npufa_sim::RepeatTime repeatTime,
                                     const UnaryRepeatParams& repeatParams,
                                     npufa_sim::Site site = npufa_sim::Site::Here()) {
  (void)mask;
  if ASCEND_IS_AIV
    npufa_sim::CompareScalar(cmpMode, dst, src0, src1Scalar, repeatParams,
                             {npufa_sim::MaskArgument::Register(), repeatTime.value(), site});
}

template <typename T, typename U>
__aicore__ inline void CompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,
                                     CMPMODE cmpMode, uint32_t count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::CompareScalar(cmpMode, dst, src0, src1Scalar, {}, {npufa_sim::CountOf(count), 1, site});
}

// The name of CANN 9.
template <typename T, typename U, bool isSetMask = true, class Mask>
__aicore__ inline void Compares(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,
                                CMPMODE cmpMode, const Mask mask, npufa_sim::RepeatTime repeatTime,
                                const UnaryRepeatParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  CompareScalar<T, U, isSetMask>(dst, src0, src1Scalar, cmpMode, mask, repeatTime, repeatParams, site);
}
template <typename T, typename U>
__aicore__ inline void Compares(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,
                                CMPMODE cmpMode, uint32_t count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  CompareScalar(dst, src0, src1Scalar, cmpMode, count, site);
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              const LocalTensor<T>& src1, SELMODE selMode, uint64_t mask[],
                              npufa_sim::RepeatTime repeatTime, const BinaryRepeatParams& repeatParams,
                              npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Select(selMode, dst, selMask, src0, src1, repeatParams,
                      {npufa_sim::MaskArgument::Bits(mask), repeatTime.value(), site});
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              const LocalTensor<T>& src1, SELMODE selMode, uint64_t mask,
                              npufa_sim::RepeatTime repeatTime, const BinaryRepeatParams& repeatParams,
                              npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Select(selMode, dst, selMask, src0, src1, repeatParams,
                      {npufa_sim::MaskArgument::Prefix(mask), repeatTime.value(), site});
}

template <typename T, typename U>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              const LocalTensor<T>& src1, SELMODE selMode, uint32_t count,
                              npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Select(selMode, dst, selMask, src0, src1, {}, {npufa_sim::CountOf(count), 1, site});
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              T src1, SELMODE selMode, uint64_t mask[], npufa_sim::RepeatTime repeatTime,
                              const BinaryRepeatParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::SelectScalar(selMode, dst, selMask, src0, src1, repeatParams,
                            {npufa_sim::MaskArgument::Bits(mask), repeatTime.value(), site});
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              T src1, SELMODE selMode, uint64_t mask, npufa_sim::RepeatTime repeatTime,
                              const BinaryRepeatParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::SelectScalar(selMode, dst, selMask, src0, src1, repeatParams,
                            {npufa_sim::MaskArgument::Prefix(mask), repeatTime.value(), site});
}

template <typename T, typename U>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              T src1, SELMODE selMode, uint32_t count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::SelectScalar(selMode, dst, selMask, src0, src1, {}, {npufa_sim::CountOf(count), 1, site});
}

// Selection from the CMPMASK register; mask from SetVectorMask.
template <typename T, SELMODE selMode>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                              npufa_sim::RepeatTime repeatTime, const BinaryRepeatParams& repeatParams,
                              npufa_sim::Site site = npufa_sim::Site::Here()) {
  if constexpr (selMode != SELMODE::VSEL_CMPMASK_SPR) {
    npufa_sim::Fault("unsupported", site, "Select",
                     "the simulator takes the selection from the CMPMASK register only, "
                     "not from an address in it",
                     "give Select the selection as a tensor");
  }
  static_assert(npufa_sim::kOneOf<T, half, float>, "Select supports half and float");
  using npufa_sim::StrideOf;
  if ASCEND_IS_AIV
    npufa_sim::VectorSelectByRegister(
        npufa_sim::Operand("dst", dst, StrideOf(repeatParams.dstBlkStride, repeatParams.dstRepStride)),
        npufa_sim::Operand("src0", src0, StrideOf(repeatParams.src0BlkStride, repeatParams.src0RepStride)),
        npufa_sim::Operand("src1", src1, StrideOf(repeatParams.src1BlkStride, repeatParams.src1RepStride)),
        {npufa_sim::MaskArgument::Register(), repeatTime.value(), site});
}

// The scalar from the CMPMASK register; mask from SetVectorMask.
template <typename T, typename U>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              npufa_sim::RepeatTime repeatTime, const BinaryRepeatParams& repeatParams,
                              npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kCanSelect<T, U>, "Select supports half and float, selected by unsigned integers");
  using npufa_sim::StrideOf;
  if ASCEND_IS_AIV
    npufa_sim::VectorSelectScalarInRegister(
        npufa_sim::Operand("dst", dst, StrideOf(repeatParams.dstBlkStride, repeatParams.dstRepStride)),
        npufa_sim::Ref("selMask", selMask),
        npufa_sim::Operand("src0", src0, StrideOf(repeatParams.src0BlkStride, repeatParams.src0RepStride)),
        {npufa_sim::MaskArgument::Register(), repeatTime.value(), site});
}

}  // namespace AscendC
