// One vector instruction per launch, with parameters from the host: three buffers come in whole, the destination goes
// out whole, so that the host sees every byte that the instruction touched and did not touch.
#pragma once

#include "kernel_operator.h"

using namespace AscendC;

// How an instruction is told which elements take part.
enum MaskForm : int32_t {
  COUNT = 0,     // the first elements
  PREFIX = 1,    // mask as a number
  BITS = 2,      // mask[]
  REGISTER = 3,  // SetVectorMask(high, low) in normal mode, isSetMask = false
  COUNTER = 4,   // SetVectorMask(0, count) in counter mode, isSetMask = false
};

struct VectorTiling {
  uint64_t mask[2];
  uint64_t scalar, scalar2;  // bits of the element type
  int32_t op, form, mode;
  int32_t count, repeat;
  int32_t block[3], step[3];  // strides of dst, src0, src1
  uint32_t bytes[3];
  uint32_t offset[3];  // bytes into the buffers
};

template <class T>
T ScalarOf(uint64_t bits) {
  T value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

inline BinaryRepeatParams BinaryStrides(const VectorTiling& t) {
  BinaryRepeatParams params;
  params.dstBlkStride = t.block[0];
  params.src0BlkStride = t.block[1];
  params.src1BlkStride = t.block[2];
  params.dstRepStride = t.step[0];
  params.src0RepStride = t.step[1];
  params.src1RepStride = t.step[2];
  return params;
}

inline UnaryRepeatParams UnaryStrides(const VectorTiling& t) {
  UnaryRepeatParams params;
  params.dstBlkStride = t.block[0];
  params.srcBlkStride = t.block[1];
  params.dstRepStride = t.step[0];
  params.srcRepStride = t.step[1];
  return params;
}

class VectorBuffers {
 public:
  VectorBuffers(const VectorTiling& tiling, GM_ADDR dst, GM_ADDR src0, GM_ADDR src1) : tiling_(tiling) {
    set_ctrl(sbitset0(get_ctrl(), 53));  // integers keep their low bits
    GM_ADDR sources[3] = {dst, src0, src1};
    for (int i = 0; i < 3; ++i) {
      pipe_.InitBuffer(buffers_[i], tiling.bytes[i]);
      GlobalTensor<uint8_t> gm;
      gm.SetGlobalBuffer(sources[i], tiling.bytes[i]);
      DataCopy(buffers_[i].Get<uint8_t>(), gm, tiling.bytes[i]);
    }
    PipeBarrier<PIPE_ALL>();
    if (tiling.form == REGISTER) SetVectorMask<half>(tiling.mask[1], tiling.mask[0]);
    if (tiling.form == COUNTER) {
      SetMaskCount();
      SetVectorMask<half, MaskMode::COUNTER>(tiling.count);
    }
  }
  void Show(GM_ADDR out) {
    SetMaskNorm();
    ResetMask();
    PipeBarrier<PIPE_ALL>();
    GlobalTensor<uint8_t> gm;
    gm.SetGlobalBuffer(out, tiling_.bytes[0]);
    DataCopy(gm, buffers_[0].Get<uint8_t>(), tiling_.bytes[0]);
  }

  template <class T>
  LocalTensor<T> Get(int index) {
    return buffers_[index].Get<uint8_t>()[tiling_.offset[index]].template ReinterpretCast<T>();
  }

 private:
  VectorTiling tiling_;
  TPipe pipe_;
  TBuf<TPosition::VECCALC> buffers_[3];
};

// `body(tiling, buffers)` between coming in and going out.
template <class Body>
void RunVector(GM_ADDR dst, GM_ADDR src0, GM_ADDR src1, GM_ADDR out, const VectorTiling& tiling, Body&& body) {
  if ASCEND_IS_AIV {
    VectorBuffers buffers(tiling, dst, src0, src1);
    body(tiling, buffers);
    buffers.Show(out);
  }
}

// A kernel `name` whose body is Body<T>(tiling, buffers).
#define VECTOR_KERNEL(name, ...)                                                                   \
  extern "C" __global__ __aicore__ void name(GM_ADDR dst, GM_ADDR src0, GM_ADDR src1, GM_ADDR out, \
                                             GM_ADDR tiling_address) {                             \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);                                                \
    GET_TILING_DATA_WITH_STRUCT(VectorTiling, tiling, tiling_address);                             \
    RunVector(dst, src0, src1, out, tiling,                                                        \
              [](const VectorTiling& t, VectorBuffers& buffers) { __VA_ARGS__(t, buffers); });     \
  }

// Calls one instruction in the form the host asks for; the arguments before the mask in parentheses, those after the
// repeat count at the end.
#define IN_EACH_FORM(t, Name, Types, NoMask, Args, ...)                                              \
  switch (t.form) {                                                                                  \
    case COUNT: Name(FORM_ARGS Args, t.count); break;                                                \
    case PREFIX: Name(FORM_ARGS Args, t.mask[0], t.repeat, __VA_ARGS__); break;                      \
    case BITS: {                                                                                     \
      uint64_t mask[2] = {t.mask[0], t.mask[1]};                                                     \
      Name(FORM_ARGS Args, mask, t.repeat, __VA_ARGS__);                                             \
      break;                                                                                         \
    }                                                                                                \
    default: Name<FORM_ARGS Types, NoMask>(FORM_ARGS Args, MASK_PLACEHOLDER, t.repeat, __VA_ARGS__); \
  }
#define FORM_ARGS(...) __VA_ARGS__
