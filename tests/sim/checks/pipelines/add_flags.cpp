// z = (x + y) + x[0] on several cores, double-buffered by flags. Tiles of 128 floats, five to a core.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t kTile = 128, kTiles = 5;

__global__ __aicore__ void add_flags(GM_ADDR x, GM_ADDR y, GM_ADDR z) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const uint64_t mine = GetBlockIdx() * kTiles * kTile;
  GlobalTensor<float> gx, gy, gz;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x), GetBlockNum() * kTiles * kTile);
  gy.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y), GetBlockNum() * kTiles * kTile);
  gz.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(z), GetBlockNum() * kTiles * kTile);
  TPipe pipe;
  TBuf<> x_buffer, y_buffer, z_buffer, first_buffer;
  pipe.InitBuffer(x_buffer, 2 * kTile * sizeof(float));
  pipe.InitBuffer(y_buffer, 2 * kTile * sizeof(float));
  pipe.InitBuffer(z_buffer, 2 * kTile * sizeof(float));
  pipe.InitBuffer(first_buffer, 32);
  const LocalTensor<float> ux = x_buffer.Get<float>(), uy = y_buffer.Get<float>(), uz = z_buffer.Get<float>();
  const LocalTensor<float> first = first_buffer.Get<float>();

  DataCopy(first, gx[mine], 8);
  SetFlag<HardEvent::MTE2_S>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_S>(EVENT_ID0);
  const float bias = first.GetValue(0);
  for (int32_t id = 0; id < 2; ++id) {
    SetFlag<HardEvent::V_MTE2>(id);
    SetFlag<HardEvent::MTE3_V>(id);
  }
  for (uint32_t i = 0; i < kTiles; ++i) {
    const int32_t now = i % 2;
    const uint64_t at = mine + i * kTile;
    WaitFlag<HardEvent::V_MTE2>(now);
    DataCopy(ux[now * kTile], gx[at], kTile);
    DataCopy(uy[now * kTile], gy[at], kTile);
    SetFlag<HardEvent::MTE2_V>(now);
    WaitFlag<HardEvent::MTE2_V>(now);
    WaitFlag<HardEvent::MTE3_V>(now);
    Add(uz[now * kTile], ux[now * kTile], uy[now * kTile], kTile);
    PipeBarrier<PIPE_V>();
    Adds(uz[now * kTile], uz[now * kTile], bias, kTile);
    SetFlag<HardEvent::V_MTE2>(now);
    SetFlag<HardEvent::V_MTE3>(now);
    WaitFlag<HardEvent::V_MTE3>(now);
    DataCopy(gz[at], uz[now * kTile], kTile);
    SetFlag<HardEvent::MTE3_V>(now);
  }
  for (int32_t id = 0; id < 2; ++id) {
    WaitFlag<HardEvent::V_MTE2>(id);
    WaitFlag<HardEvent::MTE3_V>(id);
  }
}
