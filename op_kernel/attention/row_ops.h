// Row-wise arithmetic on tiles of floats in UB: `rows` rows, `pitch` floats apart (a multiple of 64).
#pragma once

#include "utils.h"

namespace npufa {

// Floats in use of the 64-float word that starts at a column.
__aicore__ inline uint64_t WordWidth(uint32_t columns, uint32_t word) {
  return Min(FLOATS_PER_REPEAT, columns - word);
}

// Blocks of eight equal floats, one block for each of `rows` values.
__aicore__ inline void BroadcastRows(const AscendC::LocalTensor<float>& blocks,
                                     const AscendC::LocalTensor<float>& values, uint32_t rows) {
  AscendC::Brcb(blocks, values, static_cast<uint8_t>(CeilDiv(rows, FLOATS_PER_BLOCK)),
                AscendC::BrcbRepeatParams(1, FLOATS_PER_BLOCK));
}

__aicore__ inline AscendC::BinaryRepeatParams RowBroadcastParams(uint32_t pitch) {
  const uint8_t stride = static_cast<uint8_t>(pitch / FLOATS_PER_BLOCK);
  return AscendC::BinaryRepeatParams(1, 1, 0, stride, stride, 1);
}

// tile -= one value per row, given as blocks.
__aicore__ inline void SubtractRows(const AscendC::LocalTensor<float>& tile, const AscendC::LocalTensor<float>& blocks,
                                    uint32_t rows, uint32_t columns, uint32_t pitch) {
  const AscendC::BinaryRepeatParams params = RowBroadcastParams(pitch);
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    AscendC::Sub(tile[word], tile[word], blocks, WordWidth(columns, word), static_cast<uint8_t>(rows), params);
  }
}

__aicore__ inline void MultiplyRows(const AscendC::LocalTensor<float>& tile, const AscendC::LocalTensor<float>& blocks,
                                    uint32_t rows, uint32_t columns, uint32_t pitch) {
  const AscendC::BinaryRepeatParams params = RowBroadcastParams(pitch);
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    AscendC::Mul(tile[word], tile[word], blocks, WordWidth(columns, word), static_cast<uint8_t>(rows), params);
  }
}

__aicore__ inline void DivideRows(const AscendC::LocalTensor<float>& tile, const AscendC::LocalTensor<float>& blocks,
                                  uint32_t rows, uint32_t columns, uint32_t pitch) {
  const AscendC::BinaryRepeatParams params = RowBroadcastParams(pitch);
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    AscendC::Div(tile[word], tile[word], blocks, WordWidth(columns, word), static_cast<uint8_t>(rows), params);
  }
}

// Floats between rows of `columns` scores: whole words, and whole pairs of reductions where a row is long.
constexpr uint32_t LONG_ROW = FLOATS_PER_REPEAT * FLOATS_PER_BLOCK;
__aicore__ inline uint32_t RowPitch(uint32_t columns) {
  return AlignUp(columns, columns > LONG_ROW ? LONG_ROW : FLOATS_PER_REPEAT);
}

// Floats of scratch memory a reduction of `floats` floats needs.
__aicore__ inline constexpr uint32_t PartialFloats(uint32_t floats) {
  return floats / FLOATS_PER_BLOCK + floats / FLOATS_PER_REPEAT;
}

struct MaximumOf {
  __aicore__ inline static void Blocks(const AscendC::LocalTensor<float>& result, const AscendC::LocalTensor<float>& tile,
                                       int32_t repeats) {
    AscendC::BlockReduceMax(result, tile, repeats, static_cast<int32_t>(FLOATS_PER_REPEAT), 1, 1,
                            static_cast<int32_t>(FLOATS_PER_BLOCK));
  }
  __aicore__ inline static void Rows(const AscendC::LocalTensor<float>& result, const AscendC::LocalTensor<float>& tile,
                                     int32_t width, int32_t rows, int32_t stride) {
    AscendC::WholeReduceMax(result, tile, width, rows, 1, 1, stride, AscendC::ReduceOrder::ORDER_ONLY_VALUE);
  }
};

struct SumOf {
  __aicore__ inline static void Blocks(const AscendC::LocalTensor<float>& result, const AscendC::LocalTensor<float>& tile,
                                       int32_t repeats) {
    AscendC::BlockReduceSum(result, tile, repeats, static_cast<int32_t>(FLOATS_PER_REPEAT), 1, 1,
                            static_cast<int32_t>(FLOATS_PER_BLOCK));
  }
  __aicore__ inline static void Rows(const AscendC::LocalTensor<float>& result, const AscendC::LocalTensor<float>& tile,
                                     int32_t width, int32_t rows, int32_t stride) {
    AscendC::WholeReduceSum(result, tile, width, rows, 1, 1, stride);
  }
};

// One value per row of a tile whose rows are `pitch` floats (a RowPitch), all in use.
template <typename Reduction>
__aicore__ inline void ReduceRows(const AscendC::LocalTensor<float>& result, const AscendC::LocalTensor<float>& tile,
                                  const AscendC::LocalTensor<float>& partial, uint32_t rows, uint32_t pitch) {
  uint32_t width = pitch / FLOATS_PER_BLOCK;
  Reduction::Blocks(partial, tile, static_cast<int32_t>(rows * pitch / FLOATS_PER_REPEAT));
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::LocalTensor<float> reduced = partial;
  if (width > FLOATS_PER_REPEAT) {
    reduced = partial[rows * width];
    Reduction::Blocks(reduced, partial, static_cast<int32_t>(rows * width / FLOATS_PER_REPEAT));
    AscendC::PipeBarrier<PIPE_V>();
    width /= FLOATS_PER_BLOCK;
  }
  Reduction::Rows(result, reduced, static_cast<int32_t>(width), static_cast<int32_t>(rows),
                  static_cast<int32_t>(width / FLOATS_PER_BLOCK));
}

}  // namespace npufa
