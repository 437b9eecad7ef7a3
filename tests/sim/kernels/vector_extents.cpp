// Which bytes an instruction reads and defines, and what it does to the mask register.
#include "vector_harness.h"

// The first `count` half elements of src are written; an Adds reads those the mask names, and a reduction its results:
// what comes from unwritten bytes matters when it decides something.
void ReadWritten(const VectorTiling& t, VectorBuffers&) {
  TBuf<TPosition::VECCALC> dst_buffer, src_buffer;
  GetTPipePtr()->InitBuffer(dst_buffer, 1024);
  GetTPipePtr()->InitBuffer(src_buffer, 1024);
  LocalTensor<half> dst = dst_buffer.Get<half>(), src = src_buffer.Get<half>();
  Duplicate(src, half(1), t.count);
  PipeBarrier<PIPE_V>();
  uint64_t mask[2] = {t.mask[0], t.mask[1]};
  const UnaryRepeatParams strides = UnaryStrides(t);
  Adds(dst, src, half(2), mask, t.repeat, strides);
  PipeBarrier<PIPE_V>();
  WholeReduceMax(src, dst, mask, t.repeat, 1, 1, strides.dstRepStride);
}

// Only the first `count` half elements of dst are defined afterwards.
void DefineWritten(const VectorTiling& t, VectorBuffers&) {
  TBuf<TPosition::VECCALC> dst_buffer, src_buffer;
  GetTPipePtr()->InitBuffer(dst_buffer, 1024);
  GetTPipePtr()->InitBuffer(src_buffer, 1024);
  TBuf<TPosition::VECCALC> work_buffer;
  GetTPipePtr()->InitBuffer(work_buffer, 1024);
  LocalTensor<half> dst = dst_buffer.Get<half>(), src = src_buffer.Get<half>(), work = work_buffer.Get<half>();
  Duplicate(src, half(1), 512);
  PipeBarrier<PIPE_V>();
  uint64_t mask[2] = {t.mask[0], t.mask[1]};
  Adds(dst, src, half(2), mask, t.repeat, UnaryStrides(t));
  PipeBarrier<PIPE_V>();
  ReduceMax(src, dst, work, t.count);
}

// The work tensor of a reduction holds nothing that may be used afterwards.
void ReadWork(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<half> dst = buffers.Get<half>(0), src = buffers.Get<half>(1), work = buffers.Get<half>(2);
  ReduceMax(dst, src, work, t.count);
  PipeBarrier<PIPE_V>();
  Adds(dst, work, half(0), 16);
}

// What the mask register holds after an instruction, as an Adds shows that takes it from there.
void ShowMask(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<half> dst = buffers.Get<half>(0), src = buffers.Get<half>(1), other = buffers.Get<half>(2);
  SetVectorMask<half>(3);
  if (t.mode == 1) Add(other, src, src, 16);
  if (t.mode == 2) Compare(other.ReinterpretCast<uint8_t>(), src, src, CMPMODE::EQ, 128, 1, {1, 1, 1, 8, 8, 8});
  if (t.mode == 3) Add(other, src, src, 5, 1, {1, 1, 1, 8, 8, 8});
  if (t.mode == 4) Brcb(other, src, 1, {1, 8});
  if (t.mode == 5) {
    SetMaskCount();
    Add(other, src, src, 16);
  }
  if (t.mode == 6) ResetMask();
  PipeBarrier<PIPE_V>();
  Adds<half, false>(dst, src, half(1), MASK_PLACEHOLDER, 1, {1, 1, 8, 8});
}

VECTOR_KERNEL(read_written, ReadWritten)
VECTOR_KERNEL(read_work, ReadWork)
VECTOR_KERNEL(show_mask, ShowMask)
VECTOR_KERNEL(define_written, DefineWritten)
