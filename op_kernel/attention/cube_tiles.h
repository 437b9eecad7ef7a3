// Tiles of up to 128 x 128 on their way through the cube core: GM -> L1 -> L0 -> product -> GM.
#pragma once

#include "forward_tiling.h"
#include "utils.h"

namespace npufa {

// Columns of a block of scores: two of them and a sum of products share L0C.
constexpr uint32_t SCORE_COLUMNS = 64;

template <typename T>
class CubeTiles {
 public:
  using L1Queue = AscendC::TQue<AscendC::TPosition::A1, 1>;

  __aicore__ inline void Init(AscendC::TPipe& pipe) {
    constexpr uint32_t tileBytes = CUBE_BLOCK * CUBE_BLOCK * sizeof(T);
    pipe.InitBuffer(l1_, L1_TILES, tileBytes);
    pipe.InitBuffer(a_, 2, tileBytes);
    pipe.InitBuffer(b_, 2, tileBytes);
    pipe.InitBuffer(scores_, 2, CUBE_BLOCK * SCORE_COLUMNS * sizeof(float));
    pipe.InitBuffer(sum_, 1, CUBE_BLOCK * CUBE_BLOCK * sizeof(float));
    // Products leave as plain rows. Set once: the Fixpipe call sets it each time and drains the pipe for it.
    AscendC::SetFixpipeNz2ndFlag(1, 1, 1);
  }

  // `rows` x `columns` elements with `pitch` between rows, as 16 x 16 fractals in L1.
  __aicore__ inline AscendC::LocalTensor<T> Load(const AscendC::GlobalTensor<T>& source, uint32_t rows,
                                                 uint32_t columns, uint64_t pitch) {
    return LoadInto(l1_, source, rows, columns, pitch);
  }
  __aicore__ inline static AscendC::LocalTensor<T> LoadInto(L1Queue& queue, const AscendC::GlobalTensor<T>& source,
                                                            uint32_t rows, uint32_t columns, uint64_t pitch) {
    AscendC::LocalTensor<T> tile = queue.template AllocTensor<T>();
    // One row alone would switch the cube to its matrix-vector mode: it gets zero rows beside it.
    if (rows == 1) ClearTile(tile, columns);
    // A copy takes rows at most 65535 elements apart; wider ones go one by one.
    const uint32_t rowsPerCopy = pitch <= MAX_COPY_PITCH ? rows : 1;
    AscendC::Nd2NzParams params;
    params.ndNum = 1;
    params.nValue = static_cast<uint16_t>(rowsPerCopy);
    params.dValue = static_cast<uint16_t>(columns);
    params.srcNdMatrixStride = 0;
    params.srcDValue = static_cast<uint16_t>(pitch <= MAX_COPY_PITCH ? pitch : columns);
    params.dstNzC0Stride = static_cast<uint16_t>(AlignUp(rows, FRACTAL));
    params.dstNzNStride = 1;
    params.dstNzMatrixStride = 0;
    for (uint32_t row = 0; row < rows; row += rowsPerCopy) {
      AscendC::DataCopy(tile[row * FRACTAL], source[row * pitch], params);
    }
    queue.EnQue(tile);
    return queue.template DeQue<T>();
  }
  __aicore__ inline void Free(AscendC::LocalTensor<T>& tile) { l1_.FreeTensor(tile); }

  // Left operand: `rows` x `depth` from column `firstColumn` of a tile.
  __aicore__ inline AscendC::LocalTensor<T> LoadLeft(const AscendC::LocalTensor<T>& tile, uint32_t rows,
                                                     uint32_t firstColumn, uint32_t depth) {
    AscendC::LocalTensor<T> left = a_.template AllocTensor<T>();
    const uint32_t rowBlocks = CeilDiv(rows, FRACTAL);
    const uint32_t depthBlocks = CeilDiv(depth, FRACTAL);
    const uint32_t first = firstColumn / FRACTAL * rowBlocks;
    AscendC::LoadData2DParams params;
    params.repeatTimes = static_cast<uint8_t>(depthBlocks);
    params.srcStride = static_cast<uint16_t>(rowBlocks);
    for (uint32_t row = 0; row < rowBlocks; ++row) {
      AscendC::LoadData(left[row * depthBlocks * FRACTAL_ELEMENTS], tile[(first + row) * FRACTAL_ELEMENTS], params);
    }
    a_.EnQue(left);
    return a_.template DeQue<T>();
  }
  __aicore__ inline void FreeLeft(AscendC::LocalTensor<T>& left) { a_.FreeTensor(left); }

  // Right operand from a tile that holds its transpose: `columns` x `depth`.
  __aicore__ inline AscendC::LocalTensor<T> LoadRightOfTransposed(const AscendC::LocalTensor<T>& tile,
                                                                  uint32_t columns, uint32_t depth) {
    AscendC::LocalTensor<T> right = b_.template AllocTensor<T>();
    AscendC::LoadData2DParams params;
    params.repeatTimes = static_cast<uint8_t>(CeilDiv(columns, FRACTAL) * CeilDiv(depth, FRACTAL));
    params.srcStride = 1;
    AscendC::LoadData(right, tile, params);
    b_.EnQue(right);
    return b_.template DeQue<T>();
  }

  // Right operand from a tile `depth` x `columns`.
  __aicore__ inline AscendC::LocalTensor<T> LoadRight(const AscendC::LocalTensor<T>& tile, uint32_t depth,
                                                      uint32_t columns) {
    AscendC::LocalTensor<T> right = b_.template AllocTensor<T>();
    const uint32_t depthBlocks = CeilDiv(depth, FRACTAL);
    const uint32_t columnBlocks = CeilDiv(columns, FRACTAL);
    AscendC::LoadData2DParams params;
    params.repeatTimes = static_cast<uint8_t>(columnBlocks);
    params.srcStride = static_cast<uint16_t>(depthBlocks);
    params.ifTranspose = true;
    for (uint32_t block = 0; block < depthBlocks; ++block) {
      AscendC::LoadData(right[block * columnBlocks * FRACTAL_ELEMENTS], tile[block * FRACTAL_ELEMENTS], params);
    }
    b_.EnQue(right);
    return b_.template DeQue<T>();
  }
  __aicore__ inline void FreeRight(AscendC::LocalTensor<T>& right) { b_.FreeTensor(right); }

  __aicore__ inline AscendC::LocalTensor<float> AllocScores() { return scores_.template AllocTensor<float>(); }
  __aicore__ inline AscendC::LocalTensor<float> AllocSum() { return sum_.template AllocTensor<float>(); }

  // product (+)= left . right; the first of a sum starts from zero.
  __aicore__ inline static void Multiply(const AscendC::LocalTensor<float>& product,
                                         const AscendC::LocalTensor<T>& left, const AscendC::LocalTensor<T>& right,
                                         uint32_t rows, uint32_t columns, uint32_t depth, bool first) {
    AscendC::MmadParams params;
    params.m = static_cast<uint16_t>(CubeRows(rows));
    params.n = static_cast<uint16_t>(columns);
    params.k = static_cast<uint16_t>(depth);
    params.cmatrixInitVal = first;
    if (!first && (rows / FRACTAL) * (columns / FRACTAL) < MIN_UNORDERED_FRACTALS) {
      AscendC::PipeBarrier<PIPE_M>();
    }
    AscendC::Mmad(product, left, right, params);
  }

  // Write a product and give its buffer back.
  __aicore__ inline void StoreScores(const AscendC::GlobalTensor<float>& target, AscendC::LocalTensor<float>& product,
                                     uint32_t rows, uint32_t columns, uint32_t pitch) {
    Store(scores_, target, product, rows, columns, pitch);
  }
  __aicore__ inline void StoreSum(const AscendC::GlobalTensor<float>& target, AscendC::LocalTensor<float>& product,
                                  uint32_t rows, uint32_t columns, uint32_t pitch) {
    Store(sum_, target, product, rows, columns, pitch);
  }

 private:
  using ProductQueue = AscendC::TQue<AscendC::TPosition::CO1, 1>;

  __aicore__ inline static void Store(ProductQueue& queue, const AscendC::GlobalTensor<float>& target,
                                      AscendC::LocalTensor<float>& product, uint32_t rows, uint32_t columns,
                                      uint32_t pitch) {
    queue.EnQue(product);
    AscendC::LocalTensor<float> ready = queue.template DeQue<float>();
    AscendC::DataCopyCO12DstParams params;
    params.nSize = static_cast<uint16_t>(columns);
    params.mSize = static_cast<uint16_t>(rows);
    params.srcStride = static_cast<uint16_t>(AlignUp(rows, FRACTAL));
    params.dstStride = pitch;
    params.nz2ndEn = true;
    AscendC::DataCopy(target, ready, params);
    queue.FreeTensor(ready);
  }

  static constexpr uint64_t MAX_COPY_PITCH = 65535;
  static constexpr uint32_t L1_TILES = 6;
  static constexpr uint32_t FRACTAL_ELEMENTS = FRACTAL * FRACTAL;
  // Sums into fewer fractals than this outrun their own results.
  static constexpr uint32_t MIN_UNORDERED_FRACTALS = 10;

  __aicore__ inline static uint32_t CubeRows(uint32_t rows) { return rows == 1 ? FRACTAL : rows; }

  __aicore__ inline static void ClearTile(const AscendC::LocalTensor<T>& tile, uint32_t columns) {
    AscendC::InitConstValueParams<int16_t> params;
    params.repeatTimes = 1;
    params.blockNum = static_cast<uint16_t>(CeilDiv(columns, FRACTAL) * FRACTAL);
    params.dstGap = 0;
    params.initValue = 0;
    AscendC::InitConstValue(tile.template ReinterpretCast<int16_t>(), params);
    AscendC::PipeBarrier<PIPE_MTE2>();
  }

  L1Queue l1_;
  AscendC::TQue<AscendC::TPosition::A2, 1> a_;
  AscendC::TQue<AscendC::TPosition::B2, 1> b_;
  ProductQueue scores_;
  ProductQueue sum_;
};

}  // namespace npufa
