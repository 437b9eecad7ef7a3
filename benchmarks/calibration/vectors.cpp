// Vector instructions on chosen addresses of UB, and sums of two matrices with one and two sets of buffers.
#include "kernel_operator.h"

using namespace AscendC;

struct BankTiling {
  uint32_t src0, src1, dst;  // addresses in UB
  uint32_t src0_block, src0_repeat;
  uint32_t count;
};

// Sums of 64 repeats of floats, `count` times, with the barriers that the vendor's compiler puts between them.
extern "C" __global__ __aicore__ void vector_banks(GM_ADDR source, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(BankTiling, t, tiling_gm);
  constexpr uint32_t elements = 4096;
  const LocalTensor<float> src0(TPosition::VECCALC, t.src0, elements), src1(TPosition::VECCALC, t.src1, elements);
  const LocalTensor<float> dst(TPosition::VECCALC, t.dst, elements);
  const uint64_t mask = 64;
  const BinaryRepeatParams strides(1, t.src0_block, 1, 8, t.src0_repeat, 8);
  for (uint32_t i = 0; i < t.count; ++i) {
    Add(dst, src0, src1, mask, 64, strides);
    PipeBarrier<PIPE_V>();
  }
}

struct SumTiling {
  uint32_t rows, columns;  // of the matrices of halves
  uint32_t cores, tile;    // elements of one copy
  uint32_t buffers, past_l2;
  uint32_t x[2], y[2], z[2];  // addresses in UB
};

class Sums {
 public:
  __aicore__ inline Sums(const SumTiling& tiling, GM_ADDR x, GM_ADDR y, GM_ADDR z) : t_(tiling) {
    const uint32_t core = GetBlockIdx(), least = t_.rows / t_.cores, more = t_.rows % t_.cores;
    const uint32_t rows = least + (core < more), first = core * least + (core < more ? core : more);
    elements_ = rows * t_.columns;
    Set(x_, x, first);
    Set(y_, y, first);
    Set(z_, z, first);
    if (!t_.past_l2) return;
    x_.SetL2CacheHint(CacheMode::CACHE_MODE_DISABLE);
    y_.SetL2CacheHint(CacheMode::CACHE_MODE_DISABLE);
  }

  __aicore__ inline void Run() {
    for (uint32_t b = 0; b < t_.buffers; ++b) {
      SetFlag<HardEvent::V_MTE2>(b);
      SetFlag<HardEvent::MTE3_V>(b);
    }
    uint32_t buffer = 0;
    for (uint32_t at = 0; at < elements_; at += t_.tile, buffer = (buffer + 1) % t_.buffers) Tile(at, buffer);
    for (uint32_t b = 0; b < t_.buffers; ++b) {
      WaitFlag<HardEvent::V_MTE2>(b);
      WaitFlag<HardEvent::MTE3_V>(b);
    }
  }

 private:
  __aicore__ inline void Set(GlobalTensor<half>& tensor, GM_ADDR address, uint32_t first_row) {
    tensor.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(address) + static_cast<uint64_t>(first_row) * t_.columns,
                           elements_);
  }

  __aicore__ inline void Tile(uint32_t at, uint32_t b) {
    const uint32_t count = elements_ - at < t_.tile ? elements_ - at : t_.tile;
    const LocalTensor<half> x(TPosition::VECCALC, t_.x[b], t_.tile), y(TPosition::VECCALC, t_.y[b], t_.tile);
    const LocalTensor<half> z(TPosition::VECCALC, t_.z[b], t_.tile);
    WaitFlag<HardEvent::V_MTE2>(b);
    DataCopy(x, x_[at], count);
    DataCopy(y, y_[at], count);
    SetFlag<HardEvent::MTE2_V>(b);
    WaitFlag<HardEvent::MTE2_V>(b);
    WaitFlag<HardEvent::MTE3_V>(b);
    Add(z, x, y, count);
    PipeBarrier<PIPE_V>();  // shows the start of the Add as time of the pipe, as the chip's counters do
    SetFlag<HardEvent::V_MTE2>(b);
    SetFlag<HardEvent::V_MTE3>(b);
    WaitFlag<HardEvent::V_MTE3>(b);
    DataCopy(z_[at], z, count);
    SetFlag<HardEvent::MTE3_V>(b);
  }

  const SumTiling t_;
  uint32_t elements_;
  GlobalTensor<half> x_, y_, z_;
};

extern "C" __global__ __aicore__ void vector_sums(GM_ADDR x, GM_ADDR y, GM_ADDR z, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(SumTiling, tiling, tiling_gm);
  Sums(tiling, x, y, z).Run();
}

struct FractalTiling {
  uint32_t rows, columns;                                     // of the matrix of halves
  uint32_t row_parts, tile_rows, tile_columns, column_pitch;  // pitch: blocks of 32 bytes from column to column in UB
};

// Rows of halves to columns of 16: the eight blocks of a repeat are written column_pitch blocks apart.
class Fractals {
 public:
  __aicore__ inline Fractals(const FractalTiling& tiling, GM_ADDR in, GM_ADDR out) : t_(tiling) {
    const uint64_t elements = static_cast<uint64_t>(t_.rows) * t_.columns;
    in_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(in), elements);
    out_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(out), elements);
  }

  __aicore__ inline void Run() {
    const uint32_t column_parts = GetBlockNum() / t_.row_parts, core = GetBlockIdx();
    const uint32_t tiles = (t_.rows + t_.tile_rows - 1) / t_.tile_rows, part = core / column_parts;
    const uint32_t least = tiles / t_.row_parts, more = tiles % t_.row_parts;
    const uint32_t own = least + (part < more), first = part * least + (part < more ? part : more);
    const uint32_t width = t_.columns / column_parts, left = core % column_parts * width;
    for (uint32_t b = 0; b < 2; ++b) {
      SetFlag<HardEvent::V_MTE2>(b);
      SetFlag<HardEvent::MTE3_V>(b);
    }
    uint32_t buffer = 0;
    for (uint32_t tile = first; tile < first + own; ++tile)
      for (uint32_t column = left; column < left + width; column += t_.tile_columns, buffer ^= 1)
        Tile(tile * t_.tile_rows, column, buffer);
    for (uint32_t b = 0; b < 2; ++b) {
      WaitFlag<HardEvent::V_MTE2>(b);
      WaitFlag<HardEvent::MTE3_V>(b);
    }
  }

 private:
  static constexpr uint32_t kColumn = 16;

  __aicore__ inline void Tile(uint32_t row, uint32_t column, uint32_t b) {
    const uint32_t rows = t_.rows - row < t_.tile_rows ? t_.rows - row : t_.tile_rows;
    const uint32_t columns = t_.tile_columns / kColumn, nd_bytes = t_.tile_rows * t_.tile_columns * sizeof(half);
    const uint32_t nz_elements = t_.column_pitch * columns * kColumn;
    const LocalTensor<half> nd(TPosition::VECCALC, b * nd_bytes, t_.tile_rows * t_.tile_columns);
    const LocalTensor<half> nz(TPosition::VECCALC, 2 * nd_bytes + b * nz_elements * sizeof(half), nz_elements);
    WaitFlag<HardEvent::V_MTE2>(b);
    const uint32_t bytes = t_.tile_columns * sizeof(half), pitch = t_.columns * sizeof(half);
    DataCopyPad(nd, in_[static_cast<uint64_t>(row) * t_.columns + column],
                {static_cast<uint16_t>(rows), bytes, pitch - bytes, 0, 0}, DataCopyPadExtParams<half>());
    SetFlag<HardEvent::MTE2_V>(b);
    WaitFlag<HardEvent::MTE2_V>(b);
    WaitFlag<HardEvent::MTE3_V>(b);
    CopyRepeatParams copy;
    copy.dstStride = t_.column_pitch;
    copy.srcStride = copy.dstRepeatSize = 1;
    copy.srcRepeatSize = columns;
    Copy(nz, nd, static_cast<uint64_t>(t_.tile_columns), static_cast<uint8_t>(rows), copy);
    PipeBarrier<PIPE_V>();
    SetFlag<HardEvent::V_MTE2>(b);
    SetFlag<HardEvent::V_MTE3>(b);
    WaitFlag<HardEvent::V_MTE3>(b);
    DataCopyParams store;
    store.blockCount = columns;
    store.blockLen = rows;
    store.srcStride = t_.column_pitch - rows;
    store.dstStride = t_.rows - rows;
    DataCopy(out_[(static_cast<uint64_t>(column) / kColumn * t_.rows + row) * kColumn], nz, store);
    SetFlag<HardEvent::MTE3_V>(b);
  }

  const FractalTiling t_;
  GlobalTensor<half> in_, out_;
};

extern "C" __global__ __aicore__ void vector_fractals(GM_ADDR in, GM_ADDR out, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(FractalTiling, tiling, tiling_gm);
  Fractals(tiling, in, out).Run();
}
