// One data movement per kernel, with parameters from the host. A whole buffer comes in first and goes out last, so that
// the host sees every byte that the movement touched and did not touch.
#include "kernel_operator.h"

using namespace AscendC;

struct MoveTiling {
  uint32_t buffer_bytes;  // of the local buffer that is shown
  uint32_t offset;        // elements, into the local buffer
  int32_t count, length, src_stride, dst_stride;
  int32_t left, right, is_pad, set_pad;
  int64_t pad_value, register_value;
  int32_t nd[8];  // Nd2NzParams or Nz2NdParamsFull in order
};

// UB from GM and back, int8_t.
class VectorBuffer {
 public:
  explicit VectorBuffer(const MoveTiling& tiling) : bytes_(tiling.buffer_bytes) { pipe_.InitBuffer(buffer_, bytes_); }

  template <class T>
  LocalTensor<T> Get() {
    return buffer_.Get<T>();
  }
  void Fill(GM_ADDR source) {
    GlobalTensor<int8_t> gm;
    gm.SetGlobalBuffer(reinterpret_cast<__gm__ int8_t*>(source), bytes_);
    DataCopy(Get<int8_t>(), gm, bytes_);
    PipeBarrier<PIPE_MTE2>();
  }
  void Show(GM_ADDR out) {
    PipeBarrier<PIPE_ALL>();
    GlobalTensor<int8_t> gm;
    gm.SetGlobalBuffer(reinterpret_cast<__gm__ int8_t*>(out), bytes_);
    DataCopy(gm, Get<int8_t>(), bytes_);
  }

 private:
  uint32_t bytes_;
  TPipe pipe_;
  TBuf<TPosition::VECCALC> buffer_;
};

template <class T>
GlobalTensor<T> Gm(GM_ADDR address) {
  GlobalTensor<T> tensor;
  tensor.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address));
  return tensor;
}

DataCopyParams Blocks(const MoveTiling& tiling) {
  DataCopyParams params;
  params.blockCount = tiling.count;
  params.blockLen = tiling.length;
  params.srcStride = tiling.src_stride;
  params.dstStride = tiling.dst_stride;
  return params;
}

DataCopyExtParams Bytes(const MoveTiling& tiling) {
  DataCopyExtParams params;
  params.blockCount = tiling.count;
  params.blockLen = tiling.length;
  params.srcStride = tiling.src_stride;
  params.dstStride = tiling.dst_stride;
  return params;
}

extern "C" __global__ __aicore__ void gm_to_ub(GM_ADDR init, GM_ADDR src, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIV {
    VectorBuffer buffer(tiling);
    buffer.Fill(init);
    DataCopy(buffer.Get<half>()[tiling.offset], Gm<half>(src), Blocks(tiling));
    buffer.Show(out);
  }
}

extern "C" __global__ __aicore__ void gm_to_ub_count(GM_ADDR init, GM_ADDR src, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIV {
    VectorBuffer buffer(tiling);
    buffer.Fill(init);
    DataCopy(buffer.Get<half>()[tiling.offset], Gm<half>(src), tiling.count);
    buffer.Show(out);
  }
}

extern "C" __global__ __aicore__ void ub_to_gm(GM_ADDR src, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIV {
    VectorBuffer buffer(tiling);
    buffer.Fill(src);
    PipeBarrier<PIPE_ALL>();
    DataCopy(Gm<half>(out), buffer.Get<half>()[tiling.offset], Blocks(tiling));
  }
}

extern "C" __global__ __aicore__ void ub_to_ub(GM_ADDR src, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIV {
    VectorBuffer buffer(tiling);
    buffer.Fill(src);
    PipeBarrier<PIPE_ALL>();
    DataCopy(buffer.Get<half>()[tiling.offset], buffer.Get<half>(), Blocks(tiling));
    buffer.Show(out);
  }
}

// A copy out of a buffer that nobody filled.
extern "C" __global__ __aicore__ void unwritten_to_gm(GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIV {
    VectorBuffer buffer(tiling);
    DataCopy(Gm<half>(out), buffer.Get<half>(), Blocks(tiling));
  }
}

template <class T>
void PadToUb(GM_ADDR init, GM_ADDR src, GM_ADDR out, const MoveTiling& tiling) {
  VectorBuffer buffer(tiling);
  buffer.Fill(init);
  DataCopyPadExtParams<T> pad;
  pad.isPad = tiling.is_pad;
  pad.leftPadding = tiling.left;
  pad.rightPadding = tiling.right;
  pad.paddingValue = static_cast<T>(tiling.pad_value);
  if (tiling.set_pad) SetPadValue(static_cast<T>(tiling.register_value));
  DataCopyPad(buffer.Get<T>()[tiling.offset], Gm<T>(src), Bytes(tiling), pad);
  buffer.Show(out);
}

template <class T>
void PadToGm(GM_ADDR src, GM_ADDR out, const MoveTiling& tiling) {
  VectorBuffer buffer(tiling);
  buffer.Fill(src);
  PipeBarrier<PIPE_ALL>();
  DataCopyPad(Gm<T>(out), buffer.Get<T>()[tiling.offset], Bytes(tiling));
}

#define PAD_KERNELS(name, type)                                                                               \
  extern "C" __global__ __aicore__ void pad_to_ub_##name(GM_ADDR init, GM_ADDR src, GM_ADDR out, GM_ADDR t) { \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);                                                           \
    GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, t);                                                       \
    if ASCEND_IS_AIV                                                                                          \
      PadToUb<type>(init, src, out, tiling);                                                                  \
  }                                                                                                           \
  extern "C" __global__ __aicore__ void pad_to_gm_##name(GM_ADDR src, GM_ADDR out, GM_ADDR t) {               \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);                                                           \
    GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, t);                                                       \
    if ASCEND_IS_AIV                                                                                          \
      PadToGm<type>(src, out, tiling);                                                                        \
  }

PAD_KERNELS(int8, int8_t)
PAD_KERNELS(half, half)
PAD_KERNELS(float, float)
PAD_KERNELS(int64, int64_t)

extern "C" __global__ __aicore__ void nz_to_nd(GM_ADDR src, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIV {
    VectorBuffer buffer(tiling);
    buffer.Fill(src);
    PipeBarrier<PIPE_ALL>();
    Nz2NdParamsFull params;
    params.ndNum = tiling.nd[0];
    params.nValue = tiling.nd[1];
    params.dValue = tiling.nd[2];
    params.srcNdMatrixStride = tiling.nd[3];
    params.srcNStride = tiling.nd[4];
    params.dstDStride = tiling.nd[5];
    params.dstNdMatrixStride = tiling.nd[6];
    DataCopy(Gm<half>(out), buffer.Get<half>(), params);
  }
}

// L1 filled from GM, changed, and copied back to GM.
class CubeBuffer {
 public:
  explicit CubeBuffer(const MoveTiling& tiling) : bytes_(tiling.buffer_bytes) { pipe_.InitBuffer(buffer_, bytes_); }

  template <class T>
  LocalTensor<T> Get() {
    return buffer_.Get<T>();
  }
  void Fill(GM_ADDR source) {
    DataCopy(Get<int8_t>(), Gm<int8_t>(source), bytes_);
    PipeBarrier<PIPE_MTE2>();
  }
  void Show(GM_ADDR out) {
    PipeBarrier<PIPE_ALL>();
    DataCopy(Gm<int8_t>(out), Get<int8_t>(), bytes_);
  }

 private:
  uint32_t bytes_;
  TPipe pipe_;
  TBuf<TPosition::A1> buffer_;
};

extern "C" __global__ __aicore__ void gm_to_l1(GM_ADDR init, GM_ADDR src, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIC {
    CubeBuffer buffer(tiling);
    buffer.Fill(init);
    DataCopy(buffer.Get<half>()[tiling.offset], Gm<half>(src), Blocks(tiling));
    buffer.Show(out);
  }
}

extern "C" __global__ __aicore__ void l1_to_gm(GM_ADDR src, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIC {
    CubeBuffer buffer(tiling);
    buffer.Fill(src);
    PipeBarrier<PIPE_ALL>();
    DataCopy(Gm<half>(out), buffer.Get<half>()[tiling.offset], Blocks(tiling));
  }
}

template <class T>
void NdToNz(GM_ADDR init, GM_ADDR src, GM_ADDR out, const MoveTiling& tiling) {
  CubeBuffer buffer(tiling);
  buffer.Fill(init);
  Nd2NzParams params;
  params.ndNum = tiling.nd[0];
  params.nValue = tiling.nd[1];
  params.dValue = tiling.nd[2];
  params.srcNdMatrixStride = tiling.nd[3];
  params.srcDValue = tiling.nd[4];
  params.dstNzC0Stride = tiling.nd[5];
  params.dstNzNStride = tiling.nd[6];
  params.dstNzMatrixStride = tiling.nd[7];
  DataCopy(buffer.Get<T>()[tiling.offset], Gm<T>(src), params);
  buffer.Show(out);
}

#define ND_KERNEL(name, type)                                                                                \
  extern "C" __global__ __aicore__ void nd_to_nz_##name(GM_ADDR init, GM_ADDR src, GM_ADDR out, GM_ADDR t) { \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);                                                          \
    GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, t);                                                      \
    if ASCEND_IS_AIC                                                                                         \
      NdToNz<type>(init, src, out, tiling);                                                                  \
  }

ND_KERNEL(int8, int8_t)
ND_KERNEL(half, half)
ND_KERNEL(float, float)

// Every core adds (or whatever set_pad says) its row of `src` to the same row of `out`.
template <class T>
void Combine(GM_ADDR src, GM_ADDR out, const MoveTiling& tiling) {
  VectorBuffer buffer(tiling);
  buffer.Fill(src + GetBlockIdx() * tiling.buffer_bytes);
  PipeBarrier<PIPE_ALL>();
  if (tiling.set_pad == 0) SetAtomicAdd<T>();
  if (tiling.set_pad == 1) SetAtomicMax<T>();
  if (tiling.set_pad == 2) SetAtomicMin<T>();
  DataCopyPad(Gm<T>(out), buffer.Get<T>(), Bytes(tiling));
  SetAtomicNone();
}

#define ATOMIC_KERNEL(name, type)                                                             \
  extern "C" __global__ __aicore__ void combine_##name(GM_ADDR src, GM_ADDR out, GM_ADDR t) { \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);                                           \
    GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, t);                                       \
    if ASCEND_IS_AIV                                                                          \
      Combine<type>(src, out, tiling);                                                        \
  }

ATOMIC_KERNEL(float, float)
ATOMIC_KERNEL(half, half)
ATOMIC_KERNEL(bfloat16, bfloat16_t)
ATOMIC_KERNEL(int32, int32_t)
ATOMIC_KERNEL(int16, int16_t)
ATOMIC_KERNEL(int8, int8_t)

extern "C" __global__ __aicore__ void combine_wrong_type(GM_ADDR src, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MoveTiling, tiling, tiling_address);
  if ASCEND_IS_AIV {
    VectorBuffer buffer(tiling);
    buffer.Fill(src);
    PipeBarrier<PIPE_ALL>();
    SetAtomicAdd<float>();
    DataCopy(Gm<half>(out), buffer.Get<half>(), Blocks(tiling));
  }
}
