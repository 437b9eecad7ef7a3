// Casts: kernels are named by source and destination type.
#include "vector_harness.h"

template <class D, class S>
void Convert(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<D> dst = buffers.Get<D>(0);
  LocalTensor<S> src = buffers.Get<S>(1);
  const RoundMode mode = static_cast<RoundMode>(t.mode);
  if (t.op == 1) SetDeqScale(ScalarOf<half>(t.scalar));
  IN_EACH_FORM(t, Cast, (D, S), false, (dst, src, mode), UnaryStrides(t));
}

#define CAST_KERNEL(src, dst, S, D)                                                                \
  static void src##_##dst##_body(const VectorTiling& t, VectorBuffers& b) { Convert<D, S>(t, b); } \
  VECTOR_KERNEL(src##_to_##dst, src##_##dst##_body)

CAST_KERNEL(float, float, float, float)
CAST_KERNEL(float, half, float, half)
CAST_KERNEL(float, bfloat16, float, bfloat16_t)
CAST_KERNEL(float, int16, float, int16_t)
CAST_KERNEL(float, int32, float, int32_t)
CAST_KERNEL(float, int64, float, int64_t)
CAST_KERNEL(half, float, half, float)
CAST_KERNEL(half, int4, half, int4b_t)
CAST_KERNEL(half, int8, half, int8_t)
CAST_KERNEL(half, uint8, half, uint8_t)
CAST_KERNEL(half, int16, half, int16_t)
CAST_KERNEL(half, int32, half, int32_t)
CAST_KERNEL(bfloat16, float, bfloat16_t, float)
CAST_KERNEL(bfloat16, int32, bfloat16_t, int32_t)
CAST_KERNEL(int4, half, int4b_t, half)
CAST_KERNEL(int8, half, int8_t, half)
CAST_KERNEL(uint8, half, uint8_t, half)
CAST_KERNEL(int16, half, int16_t, half)
CAST_KERNEL(int16, float, int16_t, float)
CAST_KERNEL(int32, half, int32_t, half)
CAST_KERNEL(int32, float, int32_t, float)
CAST_KERNEL(int32, int16, int32_t, int16_t)
CAST_KERNEL(int32, int64, int32_t, int64_t)
CAST_KERNEL(int64, int32, int64_t, int32_t)
CAST_KERNEL(int64, float, int64_t, float)
