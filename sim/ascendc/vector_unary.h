// One tensor to one, element by element.
#pragma once

#include "vector_tensor.h"

namespace npufa_sim {

template <class D, class S>
void Unary(UnaryOp op, const AscendC::LocalTensor<D>& dst, const AscendC::LocalTensor<S>& src,
           const AscendC::UnaryRepeatParams& p, const VectorSweep& sweep) {
  VectorUnary(op, Operand("dst", dst, StrideOf(p.dstBlkStride, p.dstRepStride)),
              Operand("src", src, StrideOf(p.srcBlkStride, p.srcRepStride)), sweep);
}

}  // namespace npufa_sim

namespace AscendC {

#define NPUFA_SIM_UNARY(Name, ...)                                                                           \
  template <typename T, bool isSetMask = true>                                                               \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask[],         \
                              const npufa_sim::RepeatTime repeatTime, const UnaryRepeatParams& repeatParams, \
                              npufa_sim::Site site = npufa_sim::Site::Here()) {                              \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                       \
    if ASCEND_IS_AIV                                                                                         \
      npufa_sim::Unary(npufa_sim::UnaryOp::k##Name, dst, src, repeatParams,                                  \
                       {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});                      \
  }                                                                                                          \
  template <typename T, bool isSetMask = true>                                                               \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask,           \
                              const npufa_sim::RepeatTime repeatTime, const UnaryRepeatParams& repeatParams, \
                              npufa_sim::Site site = npufa_sim::Site::Here()) {                              \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                       \
    if ASCEND_IS_AIV                                                                                         \
      npufa_sim::Unary(npufa_sim::UnaryOp::k##Name, dst, src, repeatParams,                                  \
                       {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});                      \
  }                                                                                                          \
  template <typename T>                                                                                      \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t& count,    \
                              npufa_sim::Site site = npufa_sim::Site::Here()) {                              \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                       \
    if ASCEND_IS_AIV                                                                                         \
      npufa_sim::Unary(npufa_sim::UnaryOp::k##Name, dst, src, {}, {npufa_sim::CountOf(count), 1, site});     \
  }

NPUFA_SIM_UNARY(Exp, half, float)
NPUFA_SIM_UNARY(Ln, half, float)
NPUFA_SIM_UNARY(Abs, half, float)
NPUFA_SIM_UNARY(Reciprocal, half, float)
NPUFA_SIM_UNARY(Sqrt, half, float)
NPUFA_SIM_UNARY(Rsqrt, half, float)
NPUFA_SIM_UNARY(Relu, half, float, int32_t)
NPUFA_SIM_UNARY(Not, int16_t, uint16_t)
#undef NPUFA_SIM_UNARY

}  // namespace AscendC
