// What a kernel finds in the core's registers and memories: nothing that it may rely on.
#include "checks.h"

namespace {

constexpr uint16_t kSize = 16;
constexpr uint32_t kTile = kSize * kSize;

// z = x y' of 16 x 16 floats. Whether the cube rounds them is a mode that an earlier kernel may have set.
template <bool broken>
void inherited_hf32(const Arguments& gm) {
  TPipe pipe;
  if constexpr (!broken) SetHF32Mode(false);
  const auto a1 = Buffer<float, TPosition::A1>(pipe, kTile), b1 = Buffer<float, TPosition::B1>(pipe, kTile);
  const auto a2 = Buffer<float, TPosition::A2>(pipe, kTile), b2 = Buffer<float, TPosition::B2>(pipe, kTile);
  const auto c = Buffer<float, TPosition::CO1>(pipe, kTile);
  const Nd2NzParams rows(1, kSize, kSize, 0, kSize, kSize, 1, 0);
  DataCopy(a1, Gm<float>(gm.x), rows);
  DataCopy(b1, Gm<float>(gm.y), rows);
  Order<HardEvent::MTE2_MTE1>();
  LoadData(a2, a1, {0, 2, 1, 0, 0, false, 0});
  LoadData(b2, b1, {0, 2, 1, 0, 0, false, 0});
  Order<HardEvent::MTE1_M>();
  Mmad(c, a2, b2, {kSize, kSize, kSize, 0, false, true});  // BUG inherited_hf32
  Order<HardEvent::M_FIX>();
  Fixpipe(Gm<float>(gm.z), c, {kSize, kSize, kSize, kSize, false});
}

// z = (x + m) - m with m the largest integer: x where sums keep their low bits.
template <bool broken>
void inherited_integer_mode(const Arguments& gm) {
  constexpr int32_t kMost = 0x7fffffff;
  TPipe pipe;
  if constexpr (!broken) set_ctrl(sbitset0(get_ctrl(), 53));
  const auto words = Buffer<int32_t>(pipe, kTile);
  const auto out = Buffer<float>(pipe, kTile);
  DataCopy(words, Gm<int32_t>(gm.x), kTile);
  Order<HardEvent::MTE2_V>();
  Adds(words, words, kMost, kTile);  // BUG inherited_integer_mode
  PipeBarrier<PIPE_V>();
  Adds(words, words, -kMost, kTile);
  PipeBarrier<PIPE_V>();
  Cast(out, words, RoundMode::CAST_NONE, kTile);
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), out, kTile);
}

// z = x y of 16 x 16 halves, x by way of a vector core, which writes a part of each block and stores whole ones.
template <bool broken>
void nan_of_unwritten_memory(const Arguments& gm) {
  const GlobalTensor<half> copy = Gm<half>(gm.workspace);
  TPipe pipe;
  if ASCEND_IS_AIV {
    const auto in = Buffer<half>(pipe, kTile), out = Buffer<half>(pipe, kTile);
    if (GetSubBlockIdx() == 0) {
      DataCopy(in, Gm<half>(gm.x), kTile);
      Order<HardEvent::MTE2_V>();
      Adds(out, in, static_cast<half>(0.0f), broken ? 15 : kSize, kSize, {1, 1, 1, 1});
      Order<HardEvent::V_MTE3>();
      DataCopy(copy, out, kTile);
    }
    CrossCoreSetFlag<2, PIPE_MTE3>(0);
  } else {
    const auto a1 = Buffer<half, TPosition::A1>(pipe, kTile), b1 = Buffer<half, TPosition::B1>(pipe, kTile);
    const auto a2 = Buffer<half, TPosition::A2>(pipe, kTile), b2 = Buffer<half, TPosition::B2>(pipe, kTile);
    const auto c = Buffer<float, TPosition::CO1>(pipe, kTile);
    DataCopy(b1, Gm<half>(gm.y), kTile);
    CrossCoreWaitFlag(0);
    DataCopy(a1, copy, kTile);
    Order<HardEvent::MTE2_MTE1>();
    LoadData(a2, a1, {0, 1, 1, 0, 0, false, 0});
    LoadData(b2, b1, {0, 1, 1, 0, 0, true, 0});
    Order<HardEvent::MTE1_M>();
    Mmad(c, a2, b2, {kSize, kSize, kSize, 0, false, true});  // BUG nan_of_unwritten_memory
    Order<HardEvent::M_FIX>();
    Fixpipe(Gm<float>(gm.z), c, {kSize, kSize, kSize, kSize, false});
  }
}

}  // namespace

TWINS(inherited_hf32, KERNEL_TYPE_AIC_ONLY)
TWINS(inherited_integer_mode, KERNEL_TYPE_AIV_ONLY)
TWINS(nan_of_unwritten_memory, KERNEL_TYPE_MIX_AIC_1_2)
