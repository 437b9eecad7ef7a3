// Order between the pipes of a cube core: z = x y for tiles of 16 x 16 halves, tile after tile through one buffer each.
#include "checks.h"

namespace {

constexpr uint16_t kSize = 16, kTiles = 2;
constexpr uint32_t kCount = kSize * kSize;

struct Tile {
  LocalTensor<half> a1, b1, a2, b2;
  LocalTensor<float> c;

  explicit Tile(TPipe& pipe)
      : a1(Buffer<half, TPosition::A1>(pipe, kCount)), b1(Buffer<half, TPosition::B1>(pipe, kCount)),
        a2(Buffer<half, TPosition::A2>(pipe, kCount)), b2(Buffer<half, TPosition::B2>(pipe, kCount)),
        c(Buffer<float, TPosition::CO1>(pipe, kCount)) {}
};

const LoadData2DParams kLoad(0, 1, 1, 0, 0, false, 0), kTranspose(0, 1, 1, 0, 0, true, 0);
const FixpipeParamsV220 kStore(kSize, kSize, kSize, kSize, false);

MmadParams Multiply(bool accumulate) { return {kSize, kSize, kSize, 0, false, !accumulate}; }

DataCopyCO12DstParams StoreRows(uint16_t rows) {
  return {kSize, rows, kSize, kSize, QuantMode_t::NoQuant, 0, false, true};
}

template <HardEvent missing>
void Product(const Arguments& gm) {
  TPipe pipe;
  const Tile tile(pipe);
  for (uint32_t i = 0; i < kTiles; ++i) {
    DataCopy(tile.a1, Gm<half>(gm.x)[i * kCount], kCount);  // BUG missing_mte1_mte2
    DataCopy(tile.b1, Gm<half>(gm.y)[i * kCount], kCount);
    Order<HardEvent::MTE2_MTE1, missing>();
    LoadData(tile.a2, tile.a1, kLoad);  // BUG missing_mte2_mte1 missing_m_mte1
    LoadData(tile.b2, tile.b1, kTranspose);
    Order<HardEvent::MTE1_MTE2, missing>();
    Order<HardEvent::MTE1_M, missing>();
    Mmad(tile.c, tile.a2, tile.b2, Multiply(false));  // BUG missing_mte1_m missing_fix_m
    Order<HardEvent::M_MTE1, missing>();
    Order<HardEvent::M_FIX, missing>();
    Fixpipe(Gm<float>(gm.z)[i * kCount], tile.c, kStore);  // BUG missing_m_fix
    Order<HardEvent::FIX_M, missing>();
  }
}

// Both tiles into one sum: z0 = x0 y0 + x1 y1. Tiles of fewer than ten fractals are not ordered by the cube itself.
template <bool broken>
void missing_barrier_m(const Arguments& gm) {
  TPipe pipe;
  const Tile first(pipe), second(pipe);
  for (uint32_t i = 0; i < kTiles; ++i) {
    const Tile& tile = i == 0 ? first : second;
    DataCopy(tile.a1, Gm<half>(gm.x)[i * kCount], kCount);
    DataCopy(tile.b1, Gm<half>(gm.y)[i * kCount], kCount);
    Order<HardEvent::MTE2_MTE1>();
    LoadData(tile.a2, tile.a1, kLoad);
    LoadData(tile.b2, tile.b1, kTranspose);
  }
  Order<HardEvent::MTE1_M>();
  Mmad(first.c, first.a2, first.b2, Multiply(false));
  if constexpr (!broken) PipeBarrier<PIPE_M>();
  Mmad(first.c, second.a2, second.b2, Multiply(true));  // BUG missing_barrier_m
  Order<HardEvent::M_FIX>();
  Fixpipe(Gm<float>(gm.z), first.c, kStore);
}

// z0 = (x0 y0) y1: the first product returns from the workspace as half.
template <bool broken>
void missing_fix_mte2(const Arguments& gm) {
  TPipe pipe;
  const Tile tile(pipe);
  FixpipeParamsV220 to_half = kStore;
  to_half.quantPre = QuantMode_t::F322F16;
  for (uint32_t i = 0; i < kTiles; ++i) {
    DataCopy(tile.a1, Gm<half>(i == 0 ? gm.x : gm.workspace), kCount);  // BUG missing_fix_mte2
    DataCopy(tile.b1, Gm<half>(gm.y)[i * kCount], kCount);
    Order<HardEvent::MTE2_MTE1>();
    LoadData(tile.a2, tile.a1, kLoad);
    LoadData(tile.b2, tile.b1, kTranspose);
    Order<HardEvent::MTE1_MTE2>();
    Order<HardEvent::MTE1_M>();
    Mmad(tile.c, tile.a2, tile.b2, Multiply(false));
    Order<HardEvent::M_MTE1>();
    Order<HardEvent::M_FIX>();
    if (i == 0) Fixpipe(Gm<half>(gm.workspace), tile.c, to_half);
    else Fixpipe(Gm<float>(gm.z), tile.c, kStore);
    Order<HardEvent::FIX_M>();
    if constexpr (!broken) Order<HardEvent::FIX_MTE2>();
  }
}

// z0 = x0 y0, then half of its rows again from the same tile. Fixpipe brings a barrier of its own, DataCopy does not.
template <bool broken>
void missing_barrier_fix(const Arguments& gm) {
  TPipe pipe;
  const Tile tile(pipe);
  DataCopy(tile.a1, Gm<half>(gm.x), kCount);
  DataCopy(tile.b1, Gm<half>(gm.y), kCount);
  Order<HardEvent::MTE2_MTE1>();
  LoadData(tile.a2, tile.a1, kLoad);
  LoadData(tile.b2, tile.b1, kTranspose);
  Order<HardEvent::MTE1_M>();
  Mmad(tile.c, tile.a2, tile.b2, Multiply(false));
  Order<HardEvent::M_FIX>();
  SetFixpipeNz2ndFlag(1, 0, 0);
  DataCopy(Gm<float>(gm.z), tile.c, StoreRows(kSize));
  if constexpr (!broken) PipeBarrier<PIPE_FIX>();
  DataCopy(Gm<float>(gm.z), tile.c, StoreRows(kSize / 2));  // BUG missing_barrier_fix
}

}  // namespace

#define MISSING(name, event) TWINS_OF(missing_##name, KERNEL_TYPE_AIC_ONLY, Product, event, HardEvent::MAX)
MISSING(mte2_mte1, HardEvent::MTE2_MTE1)
MISSING(mte1_mte2, HardEvent::MTE1_MTE2)
MISSING(mte1_m, HardEvent::MTE1_M)
MISSING(m_mte1, HardEvent::M_MTE1)
MISSING(m_fix, HardEvent::M_FIX)
MISSING(fix_m, HardEvent::FIX_M)
TWINS(missing_barrier_m, KERNEL_TYPE_AIC_ONLY)
TWINS(missing_fix_mte2, KERNEL_TYPE_AIC_ONLY)
TWINS(missing_barrier_fix, KERNEL_TYPE_AIC_ONLY)
