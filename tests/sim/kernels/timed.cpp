// Kernels that do one thing as fast as the chip allows, to hold the time model against the chip's description.
#include "kernel_operator.h"

using namespace AscendC;

struct CopyTiling {
  uint32_t bytes;  // of each core's share, a multiple of 32 KiB
};

constexpr uint32_t kTile = 32 * 1024;
// Two hide the other direction, not the latency of memory as well.
constexpr uint32_t kBuffers = 4;

class TileCopy {
 public:
  explicit TileCopy(const CopyTiling& tiling) : bytes_(tiling.bytes) { pipe_.InitBuffer(queue_, kBuffers, kTile); }

  void Run(GM_ADDR source, GM_ADDR target) {
    const uint32_t start = GetBlockIdx() * bytes_;
    GlobalTensor<int8_t> from, to;
    from.SetGlobalBuffer(reinterpret_cast<__gm__ int8_t*>(source) + start, bytes_);
    to.SetGlobalBuffer(reinterpret_cast<__gm__ int8_t*>(target) + start, bytes_);
    for (uint32_t at = 0; at < bytes_; at += kTile) {
      LocalTensor<int8_t> tile = queue_.AllocTensor<int8_t>();
      DataCopy(tile, from[at], kTile);
      queue_.EnQue(tile);
      tile = queue_.DeQue<int8_t>();
      DataCopy(to[at], tile, kTile);
      queue_.FreeTensor(tile);
    }
  }

 private:
  uint32_t bytes_;
  TPipe pipe_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, kBuffers> queue_;
};

extern "C" __global__ __aicore__ void timed_copy(GM_ADDR source, GM_ADDR target, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  CopyTiling tiling;
  tiling.bytes = *reinterpret_cast<__gm__ uint32_t*>(tiling_gm);
  TileCopy(tiling).Run(source, target);
}

// C += A B, again and again: A and B stay in L1, L0A and L0B are loaded anew for each product, two buffers each.
class Products {
 public:
  static constexpr uint32_t kSize = 128;
  static constexpr uint32_t kElements = kSize * kSize;

  Products() {
    pipe_.InitBuffer(l1_, 2 * kElements * sizeof(half));
    pipe_.InitBuffer(a_, 2 * kElements * sizeof(half));
    pipe_.InitBuffer(b_, 2 * kElements * sizeof(half));
    pipe_.InitBuffer(c_, kElements * sizeof(float));
  }

  void Run(GM_ADDR operands, GM_ADDR result, uint32_t count) {
    GlobalTensor<half> in;
    in.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(operands), 2 * kElements);
    DataCopy(l1_.Get<half>(), in, 2 * kElements);
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    SetFlag<HardEvent::M_MTE1>(EVENT_ID3);
    SetFlag<HardEvent::M_MTE1>(EVENT_ID4);
    for (uint32_t i = 0; i < count; ++i) Multiply(i % 2, i == 0);
    WaitFlag<HardEvent::M_MTE1>(EVENT_ID3);
    WaitFlag<HardEvent::M_MTE1>(EVENT_ID4);
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    Store(result);
  }

 private:
  void Multiply(uint32_t buffer, bool first) {
    const LocalTensor<half> a = a_.Get<half>()[buffer * kElements], b = b_.Get<half>()[buffer * kElements];
    LoadData2DParams load;
    load.repeatTimes = kElements / 256;
    load.srcStride = 1;
    WaitFlag<HardEvent::M_MTE1>(EVENT_ID3 + buffer);
    LoadData(a, l1_.Get<half>(), load);
    LoadData(b, l1_.Get<half>()[kElements], load);
    SetFlag<HardEvent::MTE1_M>(buffer);
    WaitFlag<HardEvent::MTE1_M>(buffer);
    MmadParams params;
    params.m = params.n = params.k = kSize;
    params.cmatrixInitVal = first;
    Mmad(c_.Get<float>(), a, b, params);
    SetFlag<HardEvent::M_MTE1>(EVENT_ID3 + buffer);
  }

  void Store(GM_ADDR result) {
    GlobalTensor<float> out;
    out.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(result) + GetBlockIdx() * kElements, kElements);
    FixpipeParamsV220 params;
    params.nSize = params.mSize = params.srcStride = params.dstStride = kSize;
    params.ndNum = 1;
    Fixpipe<float, float, CFG_ROW_MAJOR>(out, c_.Get<float>(), params);
  }

  TPipe pipe_;
  TBuf<TPosition::A1> l1_;
  TBuf<TPosition::A2> a_;
  TBuf<TPosition::B2> b_;
  TBuf<TPosition::CO1> c_;
};

extern "C" __global__ __aicore__ void timed_products(GM_ADDR operands, GM_ADDR result, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  if ASCEND_IS_AIC
    Products().Run(operands, result, *reinterpret_cast<__gm__ uint32_t*>(tiling_gm));
}

// A chain of vector additions on data that never leaves UB.
extern "C" __global__ __aicore__ void timed_adds(GM_ADDR result, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  constexpr uint32_t elements = 8192;
  const uint32_t count = *reinterpret_cast<__gm__ uint32_t*>(tiling_gm);
  TPipe pipe;
  TBuf<TPosition::VECCALC> buffer;
  pipe.InitBuffer(buffer, 2 * elements * sizeof(float));
  const LocalTensor<float> one = buffer.Get<float>(), sum = buffer.Get<float>()[elements];
  Duplicate(one, 1.0f, elements);
  Duplicate(sum, 0.0f, elements);
  PipeBarrier<PIPE_V>();
  for (uint32_t i = 0; i < count; ++i) {
    Add(sum, sum, one, elements);
    PipeBarrier<PIPE_V>();
  }
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  GlobalTensor<float> out;
  out.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(result) + GetBlockIdx() * elements, elements);
  DataCopy(out, sum, elements);
}
