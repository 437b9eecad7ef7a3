// C = A B^T of halves, blocks of 128 x 256 in steps of 64 columns: two buffers each in L1 (eight steps of A, four of
// B), L0A and L0B. One block of results fills L0C.
#include "kernel_operator.h"

using namespace AscendC;

struct MatmulTiling {
  uint32_t m, n, k;         // C: m x n
  uint32_t core_m, core_n;  // share of a core
};

class Matmul {
 public:
  __aicore__ inline Matmul(const MatmulTiling& tiling, GM_ADDR a, GM_ADDR b, GM_ADDR c) : t_(tiling) {
    a_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(a), static_cast<uint64_t>(t_.m) * t_.k);
    b_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(b), static_cast<uint64_t>(t_.n) * t_.k);
    c_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(c), static_cast<uint64_t>(t_.m) * t_.n);
  }

  __aicore__ inline void Run() {
    const uint32_t parts = t_.m / t_.core_m, core = GetBlockIdx();
    const uint32_t top = core % parts * t_.core_m, left = core / parts * t_.core_n;
    const uint32_t right = left + t_.core_n < t_.n ? left + t_.core_n : t_.n;
    for (uint32_t i = 0; i < 4; ++i) SetFlag<HardEvent::MTE1_MTE2>(i);
    for (uint32_t i = 0; i < 2; ++i) SetFlag<HardEvent::M_MTE1>(i);
    SetFlag<HardEvent::FIX_M>(0);
    for (uint32_t n = left; n < right; n += kN)
      for (uint32_t m = top; m < top + t_.core_m; m += kM) Block(m, n);
    for (uint32_t i = 0; i < 4; ++i) WaitFlag<HardEvent::MTE1_MTE2>(i);
    for (uint32_t i = 0; i < 2; ++i) WaitFlag<HardEvent::M_MTE1>(i);
    WaitFlag<HardEvent::FIX_M>(0);
  }

 private:
  static constexpr uint32_t kM = 128, kN = 256, kK = 64, kStepsA = 8, kStepsB = 4, kFractal = 16;
  static constexpr uint32_t kBytesA = kM * kK * kStepsA * sizeof(half), kBytesB = kN * kK * kStepsB * sizeof(half);
  static constexpr uint32_t kHalfL0 = 32 * 1024;

  __aicore__ inline void Load(const GlobalTensor<half>& gm, const LocalTensor<half>& l1, uint32_t row, uint32_t rows,
                              uint32_t column, uint32_t columns, uint32_t flag) {
    Nd2NzParams nd;
    nd.ndNum = nd.dstNzNStride = 1;
    nd.srcNdMatrixStride = nd.dstNzMatrixStride = 0;
    nd.nValue = nd.dstNzC0Stride = rows;
    nd.dValue = columns;
    nd.srcDValue = t_.k;
    WaitFlag<HardEvent::MTE1_MTE2>(flag);
    DataCopy(l1, gm[static_cast<uint64_t>(row) * t_.k + column], nd);
    SetFlag<HardEvent::MTE2_MTE1>(flag);
  }
  __aicore__ inline LocalTensor<half> L1A(uint32_t buffer) { return {TPosition::A1, buffer * kBytesA, kBytesA / 2}; }
  __aicore__ inline LocalTensor<half> L1B(uint32_t buffer) {
    return {TPosition::B1, 2 * kBytesA + buffer * kBytesB, kBytesB / 2};
  }
  __aicore__ inline void LoadA(uint32_t m, uint32_t step) {
    const uint32_t buffer = step / kStepsA % 2;
    Load(a_, L1A(buffer), m, kM, step * kK, kK * kStepsA, buffer);
  }
  __aicore__ inline void LoadB(uint32_t n, uint32_t step) {
    const uint32_t buffer = step / kStepsB % 2;
    Load(b_, L1B(buffer), n, kN, step * kK, kK * kStepsB, 2 + buffer);
  }

  __aicore__ inline void Block(uint32_t m, uint32_t n) {
    const uint32_t steps = t_.k / kK;
    LoadA(m, 0);
    LoadB(n, 0);
    for (uint32_t step = 0; step < steps; ++step) {
      ToL0(step);
      Multiply(step, step == 0);
      const bool last_a = (step + 1) % kStepsA == 0, last_b = (step + 1) % kStepsB == 0;
      const uint32_t next_a = step == 0 ? kStepsA : step + 1 + kStepsA;
      const uint32_t next_b = step == 0 ? kStepsB : step + 1 + kStepsB;
      if ((step == 0 || last_b) && next_b < steps) LoadB(n, next_b);
      if ((step == 0 || last_a) && next_a < steps) LoadA(m, next_a);
    }
    Store(m, n);
  }

  __aicore__ inline void ToL0(uint32_t step) {
    const uint32_t buffer = step % 2, in_a = step % kStepsA, in_b = step % kStepsB;
    const uint32_t flag_a = step / kStepsA % 2, flag_b = step / kStepsB % 2;
    WaitFlag<HardEvent::M_MTE1>(buffer);
    if (in_a == 0) WaitFlag<HardEvent::MTE2_MTE1>(flag_a);
    if (in_b == 0) WaitFlag<HardEvent::MTE2_MTE1>(2 + flag_b);
    LoadData3DParamsV2<half> a;
    a.l1H = 1;
    a.l1W = a.mExtension = kM;
    a.channelSize = a.kExtension = kK;
    a.mStartPt = a.kStartPt = 0;
    LoadData(LocalTensor<half>(TPosition::A2, buffer * kHalfL0, kM * kK), L1A(flag_a)[in_a * kK * kM], a);
    LoadData2DParams b;
    b.repeatTimes = kN / kFractal;
    b.srcStride = 1;
    const LocalTensor<half> l0(TPosition::B2, buffer * kHalfL0, kN * kK);
    for (uint32_t i = 0; i < kK / kFractal; ++i) {
      LoadData(l0[i * kN * kFractal], L1B(flag_b)[in_b * kK * kN + i * kN * kFractal], b);
    }
    if (in_a + 1 == kStepsA) SetFlag<HardEvent::MTE1_MTE2>(flag_a);
    if (in_b + 1 == kStepsB) SetFlag<HardEvent::MTE1_MTE2>(2 + flag_b);
    SetFlag<HardEvent::MTE1_M>(buffer);
  }

  __aicore__ inline void Multiply(uint32_t step, bool first) {
    const uint32_t buffer = step % 2;
    WaitFlag<HardEvent::MTE1_M>(buffer);
    if (first) WaitFlag<HardEvent::FIX_M>(0);
    MmadParams params;
    params.m = kM;
    params.n = kN;
    params.k = kK;
    params.cmatrixInitVal = first;
    Mmad(LocalTensor<float>(TPosition::CO1, 0, kM * kN), LocalTensor<half>(TPosition::A2, buffer * kHalfL0, kM * kK),
         LocalTensor<half>(TPosition::B2, buffer * kHalfL0, kN * kK), params);
    SetFlag<HardEvent::M_MTE1>(buffer);
  }

  __aicore__ inline void Store(uint32_t m, uint32_t n) {
    SetFlag<HardEvent::M_FIX>(0);
    WaitFlag<HardEvent::M_FIX>(0);
    FixpipeParamsV220 params;
    params.nSize = kN;
    params.mSize = params.srcStride = kM;
    params.dstStride = t_.n;
    params.quantPre = QuantMode_t::F322F16;
    params.ndNum = 1;
    Fixpipe<half, float, CFG_ROW_MAJOR>(c_[static_cast<uint64_t>(m) * t_.n + n],
                                        LocalTensor<float>(TPosition::CO1, 0, kM * kN), params);
    SetFlag<HardEvent::FIX_M>(0);
  }

  const MatmulTiling t_;
  GlobalTensor<half> a_, b_, c_;
};

extern "C" __global__ __aicore__ void matmul(GM_ADDR a, GM_ADDR b, GM_ADDR c, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GET_TILING_DATA_WITH_STRUCT(MatmulTiling, tiling, tiling_gm);
  if ASCEND_IS_AIC
    Matmul(tiling, a, b, c).Run();
}
