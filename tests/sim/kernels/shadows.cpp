// Kernels for what the simulator remembers of memories: more accesses than it keeps apart, and none of an earlier launch.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t kPiece = 8;  // floats in 32 bytes
constexpr uint32_t kPieces = 512;
constexpr uint32_t kCount = kPiece * kPieces;

enum Missing : uint32_t { NOTHING, BEFORE_STORE, BEFORE_LOAD };

struct PiecesTiling {
  uint32_t rounds;
  uint32_t missing;  // in the last round
  uint32_t piece;    // moved too early then
};

// z = x by way of the workspace; each piece is moved by itself.
extern "C" __global__ __aicore__ void pieces(GM_ADDR x, GM_ADDR workspace, GM_ADDR z, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const auto tiling = *reinterpret_cast<__gm__ PiecesTiling*>(tiling_gm);
  GlobalTensor<float> from, between, to;
  from.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x), kCount);
  between.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(workspace), kCount);
  to.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(z), kCount);
  TPipe pipe;
  TBuf<TPosition::VECCALC> buffer;
  pipe.InitBuffer(buffer, 2 * kCount * sizeof(float));
  const LocalTensor<float> tile = buffer.Get<float>(), back = tile[kCount];
  for (uint32_t round = 0; round < tiling.rounds; ++round) {
    const bool last = round + 1 == tiling.rounds;
    const uint32_t early = tiling.piece * kPiece;
    for (uint32_t i = 0; i < kCount; i += kPiece) DataCopy(tile[i], from[i], kPiece);
    if (last && tiling.missing == BEFORE_STORE) DataCopy(between[early], tile[early], kPiece);  // too early
    PipeBarrier<PIPE_ALL>();
    for (uint32_t i = 0; i < kCount; i += kPiece) DataCopy(between[i], tile[i], kPiece);
    if (last && tiling.missing == BEFORE_LOAD) DataCopy(back[early], between[early], kPiece);  // too early
    PipeBarrier<PIPE_ALL>();
  }
  DataCopy(back, between, kCount);
  PipeBarrier<PIPE_ALL>();
  DataCopy(to, back, kCount);
}

// z = what the unified buffer and the workspace hold before anybody wrote them.
extern "C" __global__ __aicore__ void stale(GM_ADDR workspace, GM_ADDR z) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GlobalTensor<float> between, to;
  between.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(workspace), kCount);
  to.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(z), kCount);
  TPipe pipe;
  TBuf<TPosition::VECCALC> buffer;
  pipe.InitBuffer(buffer, 2 * kCount * sizeof(float));
  const LocalTensor<float> tile = buffer.Get<float>(), loaded = tile[kCount];
  DataCopy(to, tile, kCount);
  DataCopy(loaded, between, kCount);
}
