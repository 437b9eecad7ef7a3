// Reads of bytes that nobody wrote. Vector kernels: z = x + 1 of 256 floats; cube kernels: z = x y of 16 x 16 halves.
#include "checks.h"

namespace {

constexpr uint32_t kCount = 256;

// The copy is shorter than the instruction that reads it.
template <bool broken>
void unwritten_ub_tail(const Arguments& gm) {
  TPipe pipe;
  const auto in = Buffer<float>(pipe, kCount), out = Buffer<float>(pipe, kCount);
  DataCopy(in, Gm<float>(gm.x), broken ? kCount - 8 : kCount);
  Order<HardEvent::MTE2_V>();
  Adds(out, in, 1.0f, kCount);  // BUG unwritten_ub_tail
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), out, kCount);
}

// The instruction is shorter than the copy out.
template <bool broken>
void unwritten_ub_store(const Arguments& gm) {
  TPipe pipe;
  const auto in = Buffer<float>(pipe, kCount), out = Buffer<float>(pipe, kCount);
  DataCopy(in, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_V>();
  Adds(out, in, 1.0f, broken ? kCount - 64 : kCount);
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), out, kCount);  // BUG unwritten_ub_store
}

// An accumulator that starts with what happens to lie in UB.
template <bool broken>
void unwritten_accumulator(const Arguments& gm) {
  TPipe pipe;
  const auto in = Buffer<float>(pipe, kCount), sum = Buffer<float>(pipe, kCount);
  if constexpr (!broken) Duplicate(sum, 1.0f, kCount);
  PipeBarrier<PIPE_V>();
  DataCopy(in, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_V>();
  Add(sum, sum, in, kCount);  // BUG unwritten_accumulator
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), sum, kCount);
}

// The scalar unit reads an element that only a longer copy would have brought.
template <bool broken>
void unwritten_scalar(const Arguments& gm) {
  TPipe pipe;
  const auto in = Buffer<float>(pipe, kCount), out = Buffer<float>(pipe, kCount);
  DataCopy(in, Gm<float>(gm.x), kCount - 8);
  if constexpr (!broken) DataCopy(in[kCount - 8], Gm<float>(gm.x)[kCount - 8], 8);
  Order<HardEvent::MTE2_S>();
  const float last = in.GetValue(kCount - 1);  // BUG unwritten_scalar
  Duplicate(out, last, kCount);
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), out, kCount);
}

// A workspace has undefined contents.
template <bool broken>
void unwritten_workspace(const Arguments& gm) {
  TPipe pipe;
  const auto tile = Buffer<float>(pipe, kCount);
  DataCopy(tile, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.workspace), tile, broken ? kCount - 8 : kCount);
  Order<HardEvent::MTE3_MTE2>();
  DataCopy(tile, Gm<float>(gm.workspace), kCount);  // BUG unwritten_workspace
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.z), tile, kCount);
}

// Sums in GM need a start: atomics on memory that nobody cleared.
template <bool broken>
void unwritten_atomic_target(const Arguments& gm) {
  TPipe pipe;
  const auto tile = Buffer<float>(pipe, kCount), zeros = Buffer<float>(pipe, kCount);
  Duplicate(zeros, 0.0f, kCount);
  DataCopy(tile, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_MTE3>();
  Order<HardEvent::V_MTE3>();
  if constexpr (!broken) DataCopy(Gm<float>(gm.workspace), zeros, kCount);
  PipeBarrier<PIPE_MTE3>();
  SetAtomicAdd<float>();
  DataCopy(Gm<float>(gm.workspace), tile, kCount);  // BUG unwritten_atomic_target
  SetAtomicNone();
  Order<HardEvent::MTE3_MTE2>();
  DataCopy(tile, Gm<float>(gm.workspace), kCount);
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.z), tile, kCount);
}

// A buffer that comes back from the queue holds anything: the second tile is shorter than the first.
template <bool broken>
void stale_tile_tail(const Arguments& gm) {
  constexpr uint32_t kTile = kCount / 2;
  TPipe pipe;
  TQue<QuePosition::VECIN, 1> queue;
  pipe.InitBuffer(queue, 1, kTile * sizeof(float));
  const auto out = Buffer<float>(pipe, kCount);
  for (uint32_t i = 0; i < kCount; i += kTile) {
    LocalTensor<float> in = queue.AllocTensor<float>();
    DataCopy(in, Gm<float>(gm.x)[i], broken && i > 0 ? kTile - 8 : kTile);
    queue.EnQue(in);
    in = queue.DeQue<float>();
    Adds(out[i], in, 1.0f, kTile);  // BUG stale_tile_tail
    queue.FreeTensor(in);
  }
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), out, kCount);
}

constexpr uint16_t kSize = 16;
constexpr uint32_t kTile = kSize * kSize;

enum class Bug { kNone, kAccumulate, kLeft, kRight, kK };

template <Bug bug>
void Product(const Arguments& gm) {
  TPipe pipe;
  const auto a1 = Buffer<half, TPosition::A1>(pipe, 2 * kTile), b1 = Buffer<half, TPosition::B1>(pipe, 2 * kTile);
  const auto a2 = Buffer<half, TPosition::A2>(pipe, 2 * kTile), b2 = Buffer<half, TPosition::B2>(pipe, 2 * kTile);
  const auto c = Buffer<float, TPosition::CO1>(pipe, kTile);
  DataCopy(a1, Gm<half>(gm.x), bug == Bug::kLeft ? kTile - 16 : kTile);
  DataCopy(b1, Gm<half>(gm.y), kTile);
  Order<HardEvent::MTE2_MTE1>();
  LoadData(a2, a1, {0, 1, 0, 0, 0, false, 0});
  if constexpr (bug != Bug::kRight) LoadData(b2, b1, {0, 1, 0, 0, 0, true, 0});
  Order<HardEvent::MTE1_M>();
  const uint16_t k = bug == Bug::kK ? kSize + 1 : kSize;
  // BUG unwritten_l0c unwritten_l1_rows unwritten_l0b mmad_k_too_long
  Mmad(c, a2, b2, {kSize, kSize, k, 0, false, bug != Bug::kAccumulate});
  Order<HardEvent::M_FIX>();
  Fixpipe(Gm<float>(gm.z), c, {kSize, kSize, kSize, kSize, false});
}

// More columns are stored than were computed.
template <bool broken>
void unwritten_l0c_columns(const Arguments& gm) {
  TPipe pipe;
  const auto a1 = Buffer<half, TPosition::A1>(pipe, kTile), b1 = Buffer<half, TPosition::B1>(pipe, kTile);
  const auto a2 = Buffer<half, TPosition::A2>(pipe, kTile), b2 = Buffer<half, TPosition::B2>(pipe, kTile);
  const auto c = Buffer<float, TPosition::CO1>(pipe, kTile);
  DataCopy(a1, Gm<half>(gm.x), kTile);
  DataCopy(b1, Gm<half>(gm.y), kTile);
  Order<HardEvent::MTE2_MTE1>();
  LoadData(a2, a1, {0, 1, 0, 0, 0, false, 0});
  LoadData(b2, b1, {0, 1, 0, 0, 0, true, 0});
  Order<HardEvent::MTE1_M>();
  Mmad(c, a2, b2, {kSize, static_cast<uint16_t>(broken ? kSize - 1 : kSize), kSize, 0, false, true});
  Order<HardEvent::M_FIX>();
  Fixpipe(Gm<float>(gm.z), c, {kSize, kSize, kSize, kSize, false});  // BUG unwritten_l0c_columns
}

}  // namespace

#define CUBE_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_AIC_ONLY, Product, Bug::bug, Bug::kNone)
TWINS(unwritten_ub_tail, KERNEL_TYPE_AIV_ONLY)
TWINS(unwritten_ub_store, KERNEL_TYPE_AIV_ONLY)
TWINS(stale_tile_tail, KERNEL_TYPE_AIV_ONLY)
TWINS(unwritten_accumulator, KERNEL_TYPE_AIV_ONLY)
TWINS(unwritten_scalar, KERNEL_TYPE_AIV_ONLY)
TWINS(unwritten_workspace, KERNEL_TYPE_AIV_ONLY)
TWINS(unwritten_atomic_target, KERNEL_TYPE_AIV_ONLY)
CUBE_BUG(unwritten_l0c, kAccumulate)
CUBE_BUG(unwritten_l1_rows, kLeft)
CUBE_BUG(unwritten_l0b, kRight)
CUBE_BUG(mmad_k_too_long, kK)
TWINS(unwritten_l0c_columns, KERNEL_TYPE_AIC_ONLY)
