// Arithmetic of two tensors, of a tensor and a scalar, of one tensor.
#include "vector_harness.h"

#define BINARY_CASE(index, Name) \
  case index: IN_EACH_FORM(t, Name, (T), false, (dst, a, b), BinaryStrides(t)); break;
#define UNARY_CASE(index, Name) \
  case index: IN_EACH_FORM(t, Name, (T), false, (dst, a), UnaryStrides(t)); break;
#define SCALAR_CASE(index, Name) \
  case index: IN_EACH_FORM(t, Name, (T), false, (dst, a, s), UnaryStrides(t)); break;

template <class T>
void Number(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<T> dst = buffers.Get<T>(0), a = buffers.Get<T>(1), b = buffers.Get<T>(2);
  const T s = ScalarOf<T>(t.scalar);
  switch (t.op) {
    BINARY_CASE(0, Add)
    BINARY_CASE(1, Sub)
    BINARY_CASE(2, Mul)
    BINARY_CASE(3, Max)
    BINARY_CASE(4, Min)
    SCALAR_CASE(20, Adds)
    SCALAR_CASE(21, Muls)
    SCALAR_CASE(22, Maxs)
    SCALAR_CASE(23, Mins)
  }
  if constexpr (!std::is_same_v<T, int32_t>) {
    switch (t.op) {
      BINARY_CASE(5, AddRelu)
      BINARY_CASE(6, SubRelu)
    }
  }
  if constexpr (!std::is_same_v<T, int16_t>) {
    switch (t.op) { UNARY_CASE(40, Relu) }
  }
}

template <class T>
void Floating(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<T> dst = buffers.Get<T>(0), a = buffers.Get<T>(1), b = buffers.Get<T>(2);
  const T s = ScalarOf<T>(t.scalar);
  switch (t.op) {
    BINARY_CASE(7, Div)
    BINARY_CASE(8, FusedMulAdd)
    BINARY_CASE(9, FusedMulAddRelu)
    case 10:
      IN_EACH_FORM(t, MulAddDst, (T, T), false, (dst, a, b), BinaryStrides(t));
      break;
      SCALAR_CASE(24, LeakyRelu)
    case 25:
      IN_EACH_FORM(t, Axpy, (T, T), false, (dst, a, s), UnaryStrides(t));
      break;
      UNARY_CASE(41, Exp)
      UNARY_CASE(42, Ln)
      UNARY_CASE(43, Abs)
      UNARY_CASE(44, Reciprocal)
      UNARY_CASE(45, Sqrt)
      UNARY_CASE(46, Rsqrt)
    default: Number<T>(t, buffers);
  }
}

// half operands, float sums.
void Mixed(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<float> dst = buffers.Get<float>(0);
  LocalTensor<half> a = buffers.Get<half>(1), b = buffers.Get<half>(2);
  const half s = ScalarOf<half>(t.scalar);
  if (t.op == 10) {
    IN_EACH_FORM(t, MulAddDst, (float, half), false, (dst, a, b), BinaryStrides(t));
  } else {
    IN_EACH_FORM(t, Axpy, (float, half), false, (dst, a, s), UnaryStrides(t));
  }
}

template <class T>
void Logical(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<T> dst = buffers.Get<T>(0), a = buffers.Get<T>(1), b = buffers.Get<T>(2);
  switch (t.op) {
    BINARY_CASE(60, And)
    BINARY_CASE(61, Or)
    UNARY_CASE(62, Not)
  }
}

template <class T>
void Shifts(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<T> dst = buffers.Get<T>(0), a = buffers.Get<T>(1);
  const T s = ScalarOf<T>(t.scalar);
  switch (t.op) {
    SCALAR_CASE(70, ShiftLeft)
    SCALAR_CASE(71, ShiftRight)
    case 72: ShiftRight(dst, a, s, t.mask[0], t.repeat, UnaryStrides(t), true); break;
  }
}

VECTOR_KERNEL(arith_half, Floating<half>)
VECTOR_KERNEL(arith_float, Floating<float>)
VECTOR_KERNEL(arith_int16, Number<int16_t>)
VECTOR_KERNEL(arith_int32, Number<int32_t>)
VECTOR_KERNEL(arith_mixed, Mixed)
VECTOR_KERNEL(logic_int16, Logical<int16_t>)
VECTOR_KERNEL(logic_uint16, Logical<uint16_t>)
VECTOR_KERNEL(shift_int16, Shifts<int16_t>)
VECTOR_KERNEL(shift_uint16, Shifts<uint16_t>)
VECTOR_KERNEL(shift_int32, Shifts<int32_t>)
VECTOR_KERNEL(shift_uint32, Shifts<uint32_t>)

// Operands that overlap: dst is a source too (op 0: of Add as src1, 1: of Add as src0, 2: of Exp).
void InPlace(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<float> dst = buffers.Get<float>(0), a = buffers.Get<float>(1);
  if (t.op == 0) Add(dst, a, dst, t.mask[0], t.repeat, BinaryStrides(t));
  if (t.op == 1) Add(dst, dst, a, t.mask[0], t.repeat, BinaryStrides(t));
  if (t.op == 2) Exp(dst, dst[t.mode], t.mask[0], t.repeat, UnaryStrides(t));
}

VECTOR_KERNEL(arith_accumulate, InPlace)
