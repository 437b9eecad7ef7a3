// Reductions. The work tensor is the buffer of src1.
#include "vector_harness.h"

// The mask comes before the repeat count in some and after it in others.
#define WHOLE_CASE(index, Name, ...)                                                            \
  case index:                                                                                   \
    if (t.form == PREFIX) Name(dst, src, prefix, t.repeat, to, block, from __VA_ARGS__);        \
    if (t.form == BITS) Name(dst, src, mask, t.repeat, to, block, from __VA_ARGS__);            \
    if (t.form >= REGISTER) Name<T, false>(dst, src, 0, t.repeat, to, block, from __VA_ARGS__); \
    break;
#define BLOCK_CASE(index, Name)                                                     \
  case index:                                                                       \
    if (t.form == PREFIX) Name(dst, src, t.repeat, prefix, to, block, from);        \
    if (t.form == BITS) Name(dst, src, t.repeat, mask, to, block, from);            \
    if (t.form >= REGISTER) Name<T, false>(dst, src, t.repeat, 0, to, block, from); \
    break;
#define ALL_CASE(index, Name, ...)                                                  \
  case index:                                                                       \
    if (t.form == COUNT) Name(dst, src, work, t.count __VA_ARGS__);                 \
    if (t.form == PREFIX) Name(dst, src, work, prefix, t.repeat, from __VA_ARGS__); \
    if (t.form == BITS) Name(dst, src, work, mask, t.repeat, from __VA_ARGS__);     \
    break;

template <class T>
void Reduce(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<T> dst = buffers.Get<T>(0), src = buffers.Get<T>(1), work = buffers.Get<T>(2);
  uint64_t mask[2] = {t.mask[0], t.mask[1]};
  const int32_t prefix = static_cast<int32_t>(t.mask[0]), to = t.step[0], block = t.block[1], from = t.step[1];
  const ReduceOrder order = static_cast<ReduceOrder>(t.mode);
  const bool index = t.mode != 0;
  switch (t.op) {
    WHOLE_CASE(0, WholeReduceMax, , order)
    WHOLE_CASE(1, WholeReduceMin, , order)
    WHOLE_CASE(2, WholeReduceSum)
    BLOCK_CASE(10, BlockReduceMax)
    BLOCK_CASE(11, BlockReduceMin)
    BLOCK_CASE(12, BlockReduceSum)
    BLOCK_CASE(13, PairReduceSum)
    ALL_CASE(20, ReduceMax, , index)
    ALL_CASE(21, ReduceMin, , index)
    ALL_CASE(22, ReduceSum)
    case 30:
      if (t.form == PREFIX) {
        RepeatReduceSum(dst, src, t.repeat, prefix, 1, block, to, from);
      } else {
        RepeatReduceSum<T, false>(dst, src, t.repeat, 0, 1, block, to, from);
      }
      break;
  }
}

// The result is used without any barrier: the call orders itself with the vector pipe around it.
void SumThenAdd(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<float> dst = buffers.Get<float>(0), src = buffers.Get<float>(1), work = buffers.Get<float>(2);
  ReduceSum(dst, src, work, t.count);
  Adds(dst, dst, 1.0f, 1);
}

VECTOR_KERNEL(reduce_half, Reduce<half>)
VECTOR_KERNEL(reduce_float, Reduce<float>)
VECTOR_KERNEL(sum_then_add, SumThenAdd)
