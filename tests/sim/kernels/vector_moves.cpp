// Constants, indices, broadcasts, copies, gathers and transposes.
#include "vector_harness.h"

template <class T>
void Fill(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<T> dst = buffers.Get<T>(0), src = buffers.Get<T>(1);
  const T s = ScalarOf<T>(t.scalar);
  uint64_t mask[2] = {t.mask[0], t.mask[1]};
  if (t.op == 0) IN_EACH_FORM(t, Duplicate, (T), false, (dst, s), t.block[0], t.step[0]);
  if (t.op == 1) Brcb(dst, src, t.repeat, {t.block[0], t.step[0]});
  if (t.op == 2) {
    CopyRepeatParams params(t.block[0], t.block[1], t.step[0], t.step[1]);
    if (t.form == PREFIX) Copy(dst, src, t.mask[0], t.repeat, params);
    if (t.form == BITS) Copy(dst, src, mask, t.repeat, params);
    if (t.form >= REGISTER) Copy<T, false>(dst, src, MASK_PLACEHOLDER, t.repeat, params);
  }
}

template <class T>
void Indices(const VectorTiling& t, VectorBuffers& buffers) {
  LocalTensor<T> dst = buffers.Get<T>(0);
  const T s = ScalarOf<T>(t.scalar);
  uint64_t mask[2] = {t.mask[0], t.mask[1]};
  if (t.op == 1) {
    ArithProgression(dst, s, ScalarOf<T>(t.scalar2), t.count);
  } else {
    if (t.form == COUNT) CreateVecIndex(dst, s, t.count);
    if (t.form == PREFIX) CreateVecIndex(dst, s, t.mask[0], t.repeat, t.block[0], t.step[0]);
    if (t.form == BITS) CreateVecIndex(dst, s, mask, t.repeat, t.block[0], t.step[0]);
  }
}

// Offsets, or the bits of a mask, are the buffer of src1. The count of GatherMask goes behind the result.
template <class T>
void Collect(const VectorTiling& t, VectorBuffers& buffers) {
  using Word = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
  LocalTensor<T> dst = buffers.Get<T>(0), src = buffers.Get<T>(1);
  LocalTensor<uint32_t> offsets = buffers.Get<uint32_t>(2);
  uint64_t mask[2] = {t.mask[0], t.mask[1]};
  const uint32_t base = static_cast<uint32_t>(t.scalar);
  if (t.op == 0) {
    if (t.form == COUNT) Gather(dst, src, offsets, base, t.count);
    if (t.form == PREFIX) Gather(dst, src, offsets, base, t.mask[0], t.repeat, t.step[0]);
    if (t.form == BITS) Gather(dst, src, offsets, base, mask, t.repeat, t.step[0]);
  }
  if (t.op == 1) {
    GatherRepeatParams params;
    params.dstBlkStride = t.block[0];
    params.dstRepStride = t.step[0];
    Gatherb(buffers.Get<Word>(0), buffers.Get<Word>(1), offsets, t.repeat, params);
  }
  if (t.op >= 2) {
    GatherMaskParams params(t.block[1], t.repeat, t.step[1], t.step[2]);
    const bool counter = t.count > 0;
    uint64_t kept = 0;
    if (t.op == 2) GatherMask(dst, src, static_cast<uint8_t>(t.mode), counter, t.count, params, kept);
    if (t.op == 3) GatherMask(dst, src, buffers.Get<Word>(2), counter, t.count, params, kept);
    PipeBarrier<PIPE_ALL>();
    buffers.Get<uint32_t>(0).SetValue(t.bytes[0] / 4 - 1, static_cast<uint32_t>(kept));
    buffers.Get<uint32_t>(0).SetValue(t.bytes[0] / 4 - 2, static_cast<uint32_t>(GetGatherMaskRemainCount()));
  }
}

void SquareTranspose(const VectorTiling&, VectorBuffers& buffers) {
  Transpose(buffers.Get<half>(0), buffers.Get<half>(1));
}

// Rows of both sides are block[] blocks apart.
template <class T>
void Blocks16(const VectorTiling& t, VectorBuffers& buffers) {
  constexpr uint32_t block = 32 / sizeof(T);
  LocalTensor<T> dst[16], src[16];
  uint64_t dst_at[16], src_at[16];
  for (int i = 0; i < 16; ++i) {
    dst[i] = buffers.Get<T>(0)[i * block * t.block[0]];
    src[i] = buffers.Get<T>(1)[i * block * t.block[1]];
    dst_at[i] = (uint64_t)dst[i].GetPhyAddr();
    src_at[i] = (uint64_t)src[i].GetPhyAddr();
  }
  TransDataTo5HDParams params(t.mode & 1, t.mode & 2, t.repeat, t.step[0], t.step[1]);
  if (t.op == 0) TransDataTo5HD(dst, src, params);
  if (t.op == 1) TransDataTo5HD<T>(dst_at, src_at, params);
}

VECTOR_KERNEL(fill_half, Fill<half>)
VECTOR_KERNEL(fill_bfloat16, Fill<bfloat16_t>)
VECTOR_KERNEL(fill_uint16, Fill<uint16_t>)
VECTOR_KERNEL(fill_float, Fill<float>)
VECTOR_KERNEL(fill_int32, Fill<int32_t>)
VECTOR_KERNEL(index_half, Indices<half>)
VECTOR_KERNEL(index_float, Indices<float>)
VECTOR_KERNEL(index_int16, Indices<int16_t>)
VECTOR_KERNEL(index_int32, Indices<int32_t>)
VECTOR_KERNEL(collect_half, Collect<half>)
VECTOR_KERNEL(collect_float, Collect<float>)
VECTOR_KERNEL(transpose_half, SquareTranspose)
VECTOR_KERNEL(blocks_uint8, Blocks16<uint8_t>)
VECTOR_KERNEL(blocks_half, Blocks16<half>)
VECTOR_KERNEL(blocks_float, Blocks16<float>)
