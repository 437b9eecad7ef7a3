// z = x y: 32 rows of x to a core, K in steps of 32 through two buffers in each of L1, L0A and L0B.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint16_t kM = 32, kN = 32, kStep = 32, kSteps = 5, kK = kStep * kSteps;
constexpr uint32_t kLeft = kM * kStep, kRight = kStep * kN, kFractal = 256;
constexpr uint16_t kFractals = 2;  // of 16 in 32

__global__ __aicore__ void matmul(GM_ADDR x, GM_ADDR y, GM_ADDR z) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GlobalTensor<half> gx, gy;
  GlobalTensor<float> gz;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(x) + GetBlockIdx() * kM * kK, kM * kK);
  gy.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(y), kK * kN);
  gz.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(z) + GetBlockIdx() * kM * kN, kM * kN);
  TPipe pipe;
  TBuf<TPosition::A1> a1_buffer;
  TBuf<TPosition::B1> b1_buffer;
  TBuf<TPosition::A2> a2_buffer;
  TBuf<TPosition::B2> b2_buffer;
  TBuf<TPosition::CO1> c_buffer;
  pipe.InitBuffer(a1_buffer, 2 * kLeft * sizeof(half));
  pipe.InitBuffer(b1_buffer, 2 * kRight * sizeof(half));
  pipe.InitBuffer(a2_buffer, 2 * kLeft * sizeof(half));
  pipe.InitBuffer(b2_buffer, 2 * kRight * sizeof(half));
  pipe.InitBuffer(c_buffer, kM * kN * sizeof(float));
  const LocalTensor<half> a1 = a1_buffer.Get<half>(), b1 = b1_buffer.Get<half>();
  const LocalTensor<half> a2 = a2_buffer.Get<half>(), b2 = b2_buffer.Get<half>();
  const LocalTensor<float> c = c_buffer.Get<float>();

  for (int32_t id = 0; id < 2; ++id) {
    SetFlag<HardEvent::MTE1_MTE2>(id);
    SetFlag<HardEvent::M_MTE1>(EVENT_ID3 + id);
  }
  for (uint32_t i = 0; i < kSteps; ++i) {
    const int32_t now = i % 2;
    WaitFlag<HardEvent::MTE1_MTE2>(now);
    DataCopy(a1[now * kLeft], gx[i * kStep], Nd2NzParams(1, kM, kStep, 0, kK, kM, 1, 0));
    DataCopy(b1[now * kRight], gy[i * kRight], Nd2NzParams(1, kStep, kN, 0, kN, kStep, 1, 0));
    SetFlag<HardEvent::MTE2_MTE1>(now);
    WaitFlag<HardEvent::MTE2_MTE1>(now);
    WaitFlag<HardEvent::M_MTE1>(EVENT_ID3 + now);
    for (uint32_t row = 0; row < kFractals; ++row) {
      const LoadData2DParams left(0, kFractals, kFractals, 0, 0, false, 0);
      const LoadData2DParams right(0, kFractals, kFractals, 0, 0, true, 0);
      LoadData(a2[now * kLeft + row * kFractals * kFractal], a1[now * kLeft + row * kFractal], left);
      LoadData(b2[now * kRight + row * kFractals * kFractal], b1[now * kRight + row * kFractal], right);
    }
    SetFlag<HardEvent::MTE1_MTE2>(now);
    SetFlag<HardEvent::MTE1_M>(now);
    WaitFlag<HardEvent::MTE1_M>(now);
    Mmad(c, a2[now * kLeft], b2[now * kRight], MmadParams(kM, kN, kStep, 0, false, i == 0));
    PipeBarrier<PIPE_M>();
    SetFlag<HardEvent::M_MTE1>(EVENT_ID3 + now);
  }
  for (int32_t id = 0; id < 2; ++id) {
    WaitFlag<HardEvent::MTE1_MTE2>(id);
    WaitFlag<HardEvent::M_MTE1>(EVENT_ID3 + id);
  }
  SetFlag<HardEvent::M_FIX>(EVENT_ID0);
  WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
  Fixpipe(gz, c, FixpipeParamsV220(kN, kM, kM, kN, false));
}
