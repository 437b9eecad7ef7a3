// Order between the pipes of a vector core.
#include "checks.h"

namespace {

constexpr uint32_t kCount = 256, kTile = 128;

// z = x + 1, tile by tile through one buffer each way.
template <HardEvent missing>
void AddOne(const Arguments& gm) {
  TPipe pipe;
  const auto in = Buffer<float>(pipe, kTile), out = Buffer<float>(pipe, kTile);
  for (uint32_t i = 0; i < kCount; i += kTile) {
    DataCopy(in, Gm<float>(gm.x)[i], kTile);  // BUG missing_v_mte2
    Order<HardEvent::MTE2_V, missing>();
    Adds(out, in, 1.0f, kTile);  // BUG missing_mte2_v missing_mte3_v
    Order<HardEvent::V_MTE2, missing>();
    Order<HardEvent::V_MTE3, missing>();
    DataCopy(Gm<float>(gm.z)[i], out, kTile);  // BUG missing_v_mte3
    Order<HardEvent::MTE3_V, missing>();
  }
}

// z = x without the vector unit.
template <HardEvent missing>
void CopyThrough(const Arguments& gm) {
  TPipe pipe;
  const auto buffer = Buffer<float>(pipe, kTile);
  for (uint32_t i = 0; i < kCount; i += kTile) {
    DataCopy(buffer, Gm<float>(gm.x)[i], kTile);  // BUG missing_mte3_mte2
    Order<HardEvent::MTE2_MTE3, missing>();
    DataCopy(Gm<float>(gm.z)[i], buffer, kTile);  // BUG missing_mte2_mte3
    Order<HardEvent::MTE3_MTE2, missing>();
  }
}

// z = x + 1, through the workspace.
template <bool broken>
void missing_mte3_mte2_in_gm(const Arguments& gm) {
  TPipe pipe;
  const auto first = Buffer<float>(pipe, kCount), second = Buffer<float>(pipe, kCount);
  DataCopy(first, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_V>();
  Adds(first, first, 1.0f, kCount);
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.workspace), first, kCount);
  if constexpr (!broken) Order<HardEvent::MTE3_MTE2>();
  DataCopy(second, Gm<float>(gm.workspace), kCount);  // BUG missing_mte3_mte2_in_gm
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.z), second, kCount);
}

// z = x + 1; the first element of each tile by the scalar unit.
template <HardEvent missing>
void ScalarFirst(const Arguments& gm) {
  TPipe pipe;
  const auto in = Buffer<float>(pipe, kTile), out = Buffer<float>(pipe, kTile);
  for (uint32_t i = 0; i < kCount; i += kTile) {
    DataCopy(in, Gm<float>(gm.x)[i], kTile);
    Order<HardEvent::MTE2_S, missing>();
    in.SetValue(0, in.GetValue(0) - 1.0f);  // BUG missing_mte2_s
    Order<HardEvent::S_V, missing>();
    Adds(out, in, 1.0f, kTile);  // BUG missing_s_v
    Order<HardEvent::V_S, missing>();
    out.SetValue(0, out.GetValue(0) + 1.0f);  // BUG missing_v_s
    Order<HardEvent::S_MTE3, missing>();
    DataCopy(Gm<float>(gm.z)[i], out, kTile);  // BUG missing_s_mte3
    Order<HardEvent::MTE3_S, missing>();
    out.SetValue(0, 0.0f);  // BUG missing_mte3_s
  }
}

// z = y, after a look at x in the same buffer.
template <bool broken>
void missing_s_mte2(const Arguments& gm) {
  TPipe pipe;
  const auto buffer = Buffer<float>(pipe, kCount);
  DataCopy(buffer, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_S>();
  const float first = buffer.GetValue(0);
  if constexpr (!broken) Order<HardEvent::S_MTE2>();
  DataCopy(buffer, Gm<float>(first == 0.0f ? gm.y : gm.x), kCount);  // BUG missing_s_mte2
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.z), buffer, kCount);
}

// z = 2 (x + 1)
template <bool broken>
void missing_barrier_v(const Arguments& gm) {
  TPipe pipe;
  const auto buffer = Buffer<float>(pipe, kCount);
  DataCopy(buffer, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_V>();
  Adds(buffer, buffer, 1.0f, kCount);
  if constexpr (!broken) PipeBarrier<PIPE_V>();
  Muls(buffer, buffer, 2.0f, kCount);  // BUG missing_barrier_v
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), buffer, kCount);
}

// z = x, the second half from y: the later copy lands on part of the earlier one.
template <pipe_t missing>
void Overwrite(const Arguments& gm) {
  TPipe pipe;
  const auto both = Buffer<float>(pipe, kCount), half_of_y = Buffer<float>(pipe, kTile);
  DataCopy(both, Gm<float>(gm.x), kCount);
  if constexpr (missing != PIPE_MTE2) PipeBarrier<PIPE_MTE2>();
  DataCopy(both[kTile], Gm<float>(gm.y)[kTile], kTile);  // BUG missing_barrier_mte2
  DataCopy(half_of_y, Gm<float>(gm.y)[kTile], kTile);
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.z), both, kCount);
  if constexpr (missing != PIPE_MTE3) PipeBarrier<PIPE_MTE3>();
  DataCopy(Gm<float>(gm.z)[kTile], half_of_y, kTile);  // BUG missing_barrier_mte3
}

// z = x + 1 with two buffers in turn, a tile ahead; the broken one computes on the buffer that is being filled.
template <bool broken>
void swapped_double_buffers(const Arguments& gm) {
  constexpr uint32_t kStep = 64, kSteps = kCount / kStep;
  TPipe pipe;
  const LocalTensor<float> in[] = {Buffer<float>(pipe, kStep), Buffer<float>(pipe, kStep)};
  const auto out = Buffer<float>(pipe, kStep);
  DataCopy(in[0], Gm<float>(gm.x), kStep);
  SetFlag<HardEvent::MTE2_V>(0);
  for (uint32_t i = 0; i < kSteps; ++i) {
    const int32_t now = i % 2, next = 1 - now;
    if (i > 0) WaitFlag<HardEvent::V_MTE2>(next);
    if (i + 1 < kSteps) DataCopy(in[next], Gm<float>(gm.x)[(i + 1) * kStep], kStep);
    if (i + 1 < kSteps) SetFlag<HardEvent::MTE2_V>(next);
    WaitFlag<HardEvent::MTE2_V>(now);
    Adds(out, in[broken ? next : now], 1.0f, kStep);  // BUG swapped_double_buffers
    if (i + 1 < kSteps) SetFlag<HardEvent::V_MTE2>(now);
    Order<HardEvent::V_MTE3>();
    DataCopy(Gm<float>(gm.z)[i * kStep], out, kStep);
    Order<HardEvent::MTE3_V>();
  }
}

}  // namespace

#define MISSING(name, kernel, event) TWINS_OF(missing_##name, KERNEL_TYPE_AIV_ONLY, kernel, event, HardEvent::MAX)
MISSING(mte2_v, AddOne, HardEvent::MTE2_V)
MISSING(v_mte2, AddOne, HardEvent::V_MTE2)
MISSING(v_mte3, AddOne, HardEvent::V_MTE3)
MISSING(mte3_v, AddOne, HardEvent::MTE3_V)
MISSING(mte2_mte3, CopyThrough, HardEvent::MTE2_MTE3)
MISSING(mte3_mte2, CopyThrough, HardEvent::MTE3_MTE2)
MISSING(mte2_s, ScalarFirst, HardEvent::MTE2_S)
MISSING(s_v, ScalarFirst, HardEvent::S_V)
MISSING(v_s, ScalarFirst, HardEvent::V_S)
MISSING(s_mte3, ScalarFirst, HardEvent::S_MTE3)
MISSING(mte3_s, ScalarFirst, HardEvent::MTE3_S)
TWINS(missing_s_mte2, KERNEL_TYPE_AIV_ONLY)
TWINS(missing_mte3_mte2_in_gm, KERNEL_TYPE_AIV_ONLY)
TWINS(missing_barrier_v, KERNEL_TYPE_AIV_ONLY)
TWINS_OF(missing_barrier_mte2, KERNEL_TYPE_AIV_ONLY, Overwrite, PIPE_MTE2, PIPE_ALL)
TWINS_OF(missing_barrier_mte3, KERNEL_TYPE_AIV_ONLY, Overwrite, PIPE_MTE3, PIPE_ALL)
TWINS(swapped_double_buffers, KERNEL_TYPE_AIV_ONLY)
