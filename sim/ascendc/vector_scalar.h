// A tensor and a scalar, element by element.
#pragma once

#include "vector_tensor.h"

namespace npufa_sim {

template <class D, class S>
void Scalar(ScalarOp op, const AscendC::LocalTensor<D>& dst, const AscendC::LocalTensor<S>& src, S scalar,
            const AscendC::UnaryRepeatParams& p, const VectorSweep& sweep, bool rounding = false) {
  VectorScalar(op, Operand("dst", dst, StrideOf(p.dstBlkStride, p.dstRepStride)),
               Operand("src", src, StrideOf(p.srcBlkStride, p.srcRepStride)), ScalarBits(scalar), sweep, rounding);
}

template <class T, class U>
using EnableSame = std::enable_if_t<std::is_same_v<T, U>, bool>;

}  // namespace npufa_sim

namespace AscendC {

// Each form exists with the tensor's element type alone and with the scalar's type as a second template argument.
#define NPUFA_SIM_SCALAR_FORMS(Name, Template, Number, ...)                                                           \
  Template __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                          \
                                       const Number& scalarValue, uint64_t mask[],                                    \
                                       const npufa_sim::RepeatTime repeatTime, const UnaryRepeatParams& repeatParams, \
                                       npufa_sim::Site site = npufa_sim::Site::Here()) {                              \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                                \
    if ASCEND_IS_AIV                                                                                                  \
      npufa_sim::Scalar(npufa_sim::ScalarOp::k##Name, dst, src, scalarValue, repeatParams,                            \
                        {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});                              \
  }                                                                                                                   \
  Template __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                          \
                                       const Number& scalarValue, uint64_t mask,                                      \
                                       const npufa_sim::RepeatTime repeatTime, const UnaryRepeatParams& repeatParams, \
                                       npufa_sim::Site site = npufa_sim::Site::Here()) {                              \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                                \
    if ASCEND_IS_AIV                                                                                                  \
      npufa_sim::Scalar(npufa_sim::ScalarOp::k##Name, dst, src, scalarValue, repeatParams,                            \
                        {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});                              \
  }                                                                                                                   \
  Template __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                          \
                                       const Number& scalarValue, const int32_t& count,                               \
                                       npufa_sim::Site site = npufa_sim::Site::Here()) {                              \
    static_assert(npufa_sim::kOneOf<T, __VA_ARGS__>, #Name " supports " #__VA_ARGS__);                                \
    if ASCEND_IS_AIV                                                                                                  \
      npufa_sim::Scalar(npufa_sim::ScalarOp::k##Name, dst, src, scalarValue, {},                                      \
                        {npufa_sim::CountOf<isSetMask>(count), 1, site});                                             \
  }
#define NPUFA_SIM_T template <typename T, bool isSetMask = true>
#define NPUFA_SIM_TU template <typename T, typename U, bool isSetMask = true, npufa_sim::EnableSame<T, U> = true>
#define NPUFA_SIM_SCALAR(Name, ...)                         \
  NPUFA_SIM_SCALAR_FORMS(Name, NPUFA_SIM_T, T, __VA_ARGS__) \
  NPUFA_SIM_SCALAR_FORMS(Name, NPUFA_SIM_TU, U, __VA_ARGS__)

NPUFA_SIM_SCALAR(Adds, half, float, int16_t, int32_t)
NPUFA_SIM_SCALAR(Muls, half, float, int16_t, int32_t)
NPUFA_SIM_SCALAR(Maxs, half, float, int16_t, int32_t)
NPUFA_SIM_SCALAR(Mins, half, float, int16_t, int32_t)
NPUFA_SIM_SCALAR(LeakyRelu, half, float)
NPUFA_SIM_SCALAR(ShiftLeft, int16_t, uint16_t, int32_t, uint32_t)

// ShiftRight's strided forms say how to round; only the first of each pair has a default.
#define NPUFA_SIM_SHIFT_RIGHT(Template, Number, Round)                                                               \
  Template __aicore__ inline void ShiftRight(                                                                        \
      const LocalTensor<T>& dst, const LocalTensor<T>& src, const Number& scalarValue, uint64_t mask[],              \
      const npufa_sim::RepeatTime repeatTime, const UnaryRepeatParams& repeatParams, bool Round,                     \
      npufa_sim::Site site = npufa_sim::Site::Here()) {                                                              \
    static_assert(npufa_sim::kOneOf<T, int16_t, uint16_t, int32_t, uint32_t>, "ShiftRight: 16 and 32-bit integers"); \
    if ASCEND_IS_AIV                                                                                                 \
      npufa_sim::Scalar(npufa_sim::ScalarOp::kShiftRight, dst, src, scalarValue, repeatParams,                       \
                        {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site}, roundEn);                    \
  }                                                                                                                  \
  Template __aicore__ inline void ShiftRight(                                                                        \
      const LocalTensor<T>& dst, const LocalTensor<T>& src, const Number& scalarValue, uint64_t mask,                \
      const npufa_sim::RepeatTime repeatTime, const UnaryRepeatParams& repeatParams, bool Round,                     \
      npufa_sim::Site site = npufa_sim::Site::Here()) {                                                              \
    static_assert(npufa_sim::kOneOf<T, int16_t, uint16_t, int32_t, uint32_t>, "ShiftRight: 16 and 32-bit integers"); \
    if ASCEND_IS_AIV                                                                                                 \
      npufa_sim::Scalar(npufa_sim::ScalarOp::kShiftRight, dst, src, scalarValue, repeatParams,                       \
                        {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site}, roundEn);                    \
  }                                                                                                                  \
  Template __aicore__ inline void ShiftRight(const LocalTensor<T>& dst, const LocalTensor<T>& src,                   \
                                             const Number& scalarValue, const int32_t& count,                        \
                                             npufa_sim::Site site = npufa_sim::Site::Here()) {                       \
    static_assert(npufa_sim::kOneOf<T, int16_t, uint16_t, int32_t, uint32_t>, "ShiftRight: 16 and 32-bit integers"); \
    if ASCEND_IS_AIV                                                                                                 \
      npufa_sim::Scalar(npufa_sim::ScalarOp::kShiftRight, dst, src, scalarValue, {},                                 \
                        {npufa_sim::CountOf<isSetMask>(count), 1, site});                                            \
  }
#define NPUFA_SIM_ROUND_DEFAULT roundEn = false
NPUFA_SIM_SHIFT_RIGHT(NPUFA_SIM_T, T, NPUFA_SIM_ROUND_DEFAULT)
NPUFA_SIM_SHIFT_RIGHT(NPUFA_SIM_TU, U, roundEn)
#undef NPUFA_SIM_ROUND_DEFAULT
#undef NPUFA_SIM_SHIFT_RIGHT
#undef NPUFA_SIM_SCALAR
#undef NPUFA_SIM_SCALAR_FORMS
#undef NPUFA_SIM_T
#undef NPUFA_SIM_TU

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue, uint64_t mask,
                            const npufa_sim::RepeatTime repeatTime, const UnaryRepeatParams& repeatParams,
                            npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, half, float> && (std::is_same_v<T, U> || npufa_sim::kOneOf<U, half>),
                "Axpy supports half, float, and half into float");
  if ASCEND_IS_AIV
    npufa_sim::Scalar(npufa_sim::ScalarOp::kAxpy, dst, src, scalarValue, repeatParams,
                      {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue, uint64_t mask[],
                            const npufa_sim::RepeatTime repeatTime, const UnaryRepeatParams& repeatParams,
                            npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, half, float> && (std::is_same_v<T, U> || npufa_sim::kOneOf<U, half>),
                "Axpy supports half, float, and half into float");
  if ASCEND_IS_AIV
    npufa_sim::Scalar(npufa_sim::ScalarOp::kAxpy, dst, src, scalarValue, repeatParams,
                      {npufa_sim::MaskOf<isSetMask>(mask), repeatTime.value(), site});
}

template <typename T, typename U>
__aicore__ inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue,
                            const int32_t& count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, half, float> && (std::is_same_v<T, U> || npufa_sim::kOneOf<U, half>),
                "Axpy supports half, float, and half into float");
  if ASCEND_IS_AIV
    npufa_sim::Scalar(npufa_sim::ScalarOp::kAxpy, dst, src, scalarValue,
                      {1, 1, 8, npufa_sim::Contiguous<U, T>().repeat}, {npufa_sim::CountOf(count), 1, site});
}

}  // namespace AscendC
