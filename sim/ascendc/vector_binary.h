// Two tensors to one, element by element.
#pragma once

#include "vector_tensor.h"

namespace npufa_sim {

template <class D, class S>
void Binary(BinaryOp op, const AscendC::LocalTensor<D>& dst, const AscendC::LocalTensor<S>& src0,
            const AscendC::LocalTensor<S>& src1, const AscendC::BinaryRepeatParams& p, const VectorSweep& sweep) {
  VectorBinary(op, Operand("dst", dst, StrideOf(p.dstBlkStride, p.dstRepStride)),
               Operand("src0", src0, StrideOf(p.src0BlkStride, p.src0RepStride)),
               Operand("src1", src1, StrideOf(p.src1BlkStride, p.src1RepStride)), sweep);
}

template <class D, class S>
void BinaryFirst(BinaryOp op, const AscendC::LocalTensor<D>& dst, const AscendC::LocalTensor<S>& src0,
                 const AscendC::LocalTensor<S>& src1, std::int64_t count, Site site) {
  VectorBinary(op, Operand("dst", dst, Contiguous<D, S>()), Operand("src0", src0, Contiguous<S, D>()),
               Operand("src1", src1, Contiguous<S, D>()), {CountOf(count), 1, site});
}

}  // namespace npufa_sim

namespace AscendC {

#define NPUFA_SIM_BINARY(Name, ...)                                                                              \
  template <typename T, bool isSetMask = true>                                                                   \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, \
                              uint64_t mask[], const npufa_sim::RepeatTime repeatTime,                           \
                              const BinaryRepeatParams& repeatParams,                                            \
                              npufa_sim::Site site = npufa_sim::Site::Here()) {                                  \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                           \
    if ASCEND_IS_AIV                                                                                             \
      npufa_sim::Binary(npufa_sim::BinaryOp::k##Name, dst, src0, src1, repeatParams,                             \
                        {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});                         \
  }                                                                                                              \
  template <typename T, bool isSetMask = true>                                                                   \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, \
                              uint64_t mask, const npufa_sim::RepeatTime repeatTime,                             \
                              const BinaryRepeatParams& repeatParams,                                            \
                              npufa_sim::Site site = npufa_sim::Site::Here()) {                                  \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                           \
    if ASCEND_IS_AIV                                                                                             \
      npufa_sim::Binary(npufa_sim::BinaryOp::k##Name, dst, src0, src1, repeatParams,                             \
                        {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});                         \
  }                                                                                                              \
  template <typename T>                                                                                          \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, \
                              const int32_t& count, npufa_sim::Site site = npufa_sim::Site::Here()) {            \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                           \
    if ASCEND_IS_AIV                                                                                             \
      npufa_sim::BinaryFirst(npufa_sim::BinaryOp::k##Name, dst, src0, src1, count, site);                        \
  }

NPUFA_SIM_BINARY(Add, half, float, int16_t, int32_t)
NPUFA_SIM_BINARY(Sub, half, float, int16_t, int32_t)
NPUFA_SIM_BINARY(Mul, half, float, int16_t, int32_t)
NPUFA_SIM_BINARY(Div, half, float)
NPUFA_SIM_BINARY(Max, half, float, int16_t, int32_t)
NPUFA_SIM_BINARY(Min, half, float, int16_t, int32_t)
NPUFA_SIM_BINARY(And, int16_t, uint16_t)
NPUFA_SIM_BINARY(Or, int16_t, uint16_t)
NPUFA_SIM_BINARY(AddRelu, half, float, int16_t)
NPUFA_SIM_BINARY(SubRelu, half, float, int16_t)
NPUFA_SIM_BINARY(FusedMulAdd, half, float)
NPUFA_SIM_BINARY(FusedMulAddRelu, half, float)
#undef NPUFA_SIM_BINARY

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void MulAddDst(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,
                                 const uint64_t mask[], const npufa_sim::RepeatTime repeatTime,
                                 const BinaryRepeatParams& repeatParams,
                                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, half, float> && (std::is_same_v<T, U> || npufa_sim::kOneOf<U, half>),
                "MulAddDst supports half, float, and half into float");
  if ASCEND_IS_AIV
    npufa_sim::Binary(npufa_sim::BinaryOp::kMulAddDst, dst, src0, src1, repeatParams,
                      {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void MulAddDst(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,
                                 uint64_t mask, const npufa_sim::RepeatTime repeatTime,
                                 const BinaryRepeatParams& repeatParams,
                                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, half, float> && (std::is_same_v<T, U> || npufa_sim::kOneOf<U, half>),
                "MulAddDst supports half, float, and half into float");
  if ASCEND_IS_AIV
    npufa_sim::Binary(npufa_sim::BinaryOp::kMulAddDst, dst, src0, src1, repeatParams,
                      {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T, typename U>
__aicore__ inline void MulAddDst(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,
                                 const int32_t& count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, half, float> && (std::is_same_v<T, U> || npufa_sim::kOneOf<U, half>),
                "MulAddDst supports half, float, and half into float");
  if ASCEND_IS_AIV
    npufa_sim::BinaryFirst(npufa_sim::BinaryOp::kMulAddDst, dst, src0, src1, count, site);
}

}  // namespace AscendC
