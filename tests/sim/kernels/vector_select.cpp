// Comparisons and selections. The result of a comparison, or the selection, is one of the buffers.
#include "vector_harness.h"

// op 0: Compare, 1: CompareScalar, 2: Compare into the register and GetCmpMask.
template <class T>
void CompareBody(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<uint8_t> dst = buffers.Get<uint8_t>(0);
  LocalTensor<T> a = buffers.Get<T>(1), b = buffers.Get<T>(2);
  const CMPMODE mode = static_cast<CMPMODE>(t.mode);
  const T s = ScalarOf<T>(t.scalar);
  if (t.op == 0) IN_EACH_FORM(t, Compare, (T, uint8_t), false, (dst, a, b, mode), BinaryStrides(t));
  if (t.op == 1) IN_EACH_FORM(t, CompareScalar, (T, uint8_t), false, (dst, a, s, mode), UnaryStrides(t));
  if constexpr (!std::is_same_v<T, int32_t>) {
    if (t.op == 2) {
      uint64_t mask[2] = {t.mask[0], t.mask[1]};
      if (t.form == PREFIX) Compare(a, b, mode, t.mask[0], BinaryStrides(t));
      if (t.form == BITS) Compare(a, b, mode, mask, BinaryStrides(t));
      PipeBarrier<PIPE_V>();
      GetCmpMask(dst);
    }
  }
}

// The selection lies in the first part of the buffer of src1. op 0: two tensors, 1: a scalar, 2: the register selects,
// 3: the scalar in the register.
template <class T>
void SelectBody(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<T> dst = buffers.Get<T>(0), a = buffers.Get<T>(1), b = buffers.Get<T>(2)[1024 / sizeof(T)];
  LocalTensor<uint8_t> selection = buffers.Get<uint8_t>(2);
  const SELMODE mode = static_cast<SELMODE>(t.mode);
  const T s = ScalarOf<T>(t.scalar);
  uint64_t mask[2] = {t.mask[0], t.mask[1]};
  const BinaryRepeatParams p = BinaryStrides(t);
  if (t.op == 0 && t.form == COUNT) Select(dst, selection, a, b, mode, t.count);
  if (t.op == 0 && t.form == PREFIX) Select(dst, selection, a, b, mode, t.mask[0], t.repeat, p);
  if (t.op == 0 && t.form == BITS) Select(dst, selection, a, b, mode, mask, t.repeat, p);
  if (t.op == 1 && t.form == COUNT) Select(dst, selection, a, s, mode, t.count);
  if (t.op == 1 && t.form == PREFIX) Select(dst, selection, a, s, mode, t.mask[0], t.repeat, p);
  if (t.op == 1 && t.form == BITS) Select(dst, selection, a, s, mode, mask, t.repeat, p);
  if (t.op >= 2) SetCmpMask(t.op == 2 ? selection : b.template ReinterpretCast<uint8_t>());
  PipeBarrier<PIPE_V>();
  if (t.op == 2) Select<T, SELMODE::VSEL_CMPMASK_SPR>(dst, a, b, t.repeat, p);
  if (t.op == 3) Select<T, uint8_t>(dst, selection, a, t.repeat, p);
}

// Modes 1 and 2 need the end of the unified buffer.
void SelectInFullMemory(const VectorTiling& t, VectorBuffers& buffers) {
  TBuf<TPosition::VECCALC> rest;
  GetTPipePtr()->InitBuffer(rest, 185 * 1024);
  SelectBody<float>(t, buffers);
}

VECTOR_KERNEL(compare_half, CompareBody<half>)
VECTOR_KERNEL(compare_float, CompareBody<float>)
VECTOR_KERNEL(compare_int32, CompareBody<int32_t>)
VECTOR_KERNEL(select_half, SelectBody<half>)
VECTOR_KERNEL(select_float, SelectBody<float>)
VECTOR_KERNEL(select_full_memory, SelectInFullMemory)
