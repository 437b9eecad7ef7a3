// Row-wise arithmetic on tiles of floats in UB: `rows` rows, `pitch` floats apart (a multiple of 64).
#pragma once

#include "utils.h"

namespace npufa {

// Floats in use of the 64-float word that starts at a column.
__aicore__ inline uint64_t WordWidth(uint32_t columns, uint32_t word) { return Min(FLOATS_PER_REPEAT, columns - word); }

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

// tile *= factor.
__aicore__ inline AscendC::UnaryRepeatParams RowParams(uint32_t pitch) {
  const uint8_t stride = static_cast<uint8_t>(pitch / FLOATS_PER_BLOCK);
  return AscendC::UnaryRepeatParams(1, 1, stride, stride);
}
__aicore__ inline void MultiplyAll(const AscendC::LocalTensor<float>& tile, float factor, uint32_t rows,
                                   uint32_t columns, uint32_t pitch) {
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    AscendC::Muls(tile[word], tile[word], factor, WordWidth(columns, word), static_cast<uint8_t>(rows),
                  RowParams(pitch));
  }
}

// tile *= and += one value per column.
__aicore__ inline AscendC::BinaryRepeatParams ColumnParams(uint32_t pitch) {
  const uint8_t stride = static_cast<uint8_t>(pitch / FLOATS_PER_BLOCK);
  return AscendC::BinaryRepeatParams(1, 1, 1, stride, stride, 0);
}
__aicore__ inline void MultiplyColumns(const AscendC::LocalTensor<float>& tile,
                                       const AscendC::LocalTensor<float>& values, uint32_t rows, uint32_t columns,
                                       uint32_t pitch) {
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    AscendC::Mul(tile[word], tile[word], values[word], WordWidth(columns, word), static_cast<uint8_t>(rows),
                 ColumnParams(pitch));
  }
}
__aicore__ inline void AddColumns(const AscendC::LocalTensor<float>& tile, const AscendC::LocalTensor<float>& values,
                                  uint32_t rows, uint32_t columns, uint32_t pitch) {
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    AscendC::Add(tile[word], tile[word], values[word], WordWidth(columns, word), static_cast<uint8_t>(rows),
                 ColumnParams(pitch));
  }
}

// tile += one value per row, given as blocks.
__aicore__ inline void AddRows(const AscendC::LocalTensor<float>& tile, const AscendC::LocalTensor<float>& blocks,
                               uint32_t rows, uint32_t columns, uint32_t pitch) {
  const AscendC::BinaryRepeatParams params = RowBroadcastParams(pitch);
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    AscendC::Add(tile[word], tile[word], blocks, WordWidth(columns, word), static_cast<uint8_t>(rows), params);
  }
}

// Floats between rows of `columns` scores: whole words, in long rows pairs of words, which reductions fold.
constexpr uint32_t LONG_ROW = FLOATS_PER_REPEAT * FLOATS_PER_BLOCK;
__aicore__ inline uint32_t RowPitch(uint32_t columns) {
  return AlignUp(columns, columns > LONG_ROW ? 2 * FLOATS_PER_REPEAT : FLOATS_PER_REPEAT);
}

// Floats of scratch memory a reduction of `floats` floats needs.
__aicore__ inline constexpr uint32_t PartialFloats(uint32_t floats) {
  return floats / FLOATS_PER_BLOCK + floats / FLOATS_PER_REPEAT;
}

struct MaximumOf {
  __aicore__ inline static void Blocks(const AscendC::LocalTensor<float>& result,
                                       const AscendC::LocalTensor<float>& tile, int32_t repeats) {
    AscendC::BlockReduceMax(result, tile, repeats, static_cast<int32_t>(FLOATS_PER_REPEAT), 1, 1,
                            static_cast<int32_t>(FLOATS_PER_BLOCK));
  }
  __aicore__ inline static void Fold(const AscendC::LocalTensor<float>& tile, const AscendC::LocalTensor<float>& other,
                                     uint32_t width, uint32_t rows, uint32_t stride) {
    const uint8_t blocks = static_cast<uint8_t>(stride);
    AscendC::Max(tile, tile, other, static_cast<uint64_t>(width), static_cast<uint8_t>(rows),
                 AscendC::BinaryRepeatParams(1, 1, 1, blocks, blocks, blocks));
  }
  __aicore__ inline static void Rows(const AscendC::LocalTensor<float>& result, const AscendC::LocalTensor<float>& tile,
                                     int32_t width, int32_t rows, int32_t stride) {
    AscendC::WholeReduceMax(result, tile, width, rows, 1, 1, stride, AscendC::ReduceOrder::ORDER_ONLY_VALUE);
  }
};

struct SumOf {
  __aicore__ inline static void Blocks(const AscendC::LocalTensor<float>& result,
                                       const AscendC::LocalTensor<float>& tile, int32_t repeats) {
    AscendC::BlockReduceSum(result, tile, repeats, static_cast<int32_t>(FLOATS_PER_REPEAT), 1, 1,
                            static_cast<int32_t>(FLOATS_PER_BLOCK));
  }
  __aicore__ inline static void Fold(const AscendC::LocalTensor<float>& tile, const AscendC::LocalTensor<float>& other,
                                     uint32_t width, uint32_t rows, uint32_t stride) {
    const uint8_t blocks = static_cast<uint8_t>(stride);
    AscendC::Add(tile, tile, other, static_cast<uint64_t>(width), static_cast<uint8_t>(rows),
                 AscendC::BinaryRepeatParams(1, 1, 1, blocks, blocks, blocks));
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
  const uint32_t stride = width / FLOATS_PER_BLOCK;
  if (width > FLOATS_PER_REPEAT) {
    width /= 2;
    Reduction::Fold(partial, partial[width], width, rows, stride);
    AscendC::PipeBarrier<PIPE_V>();
  }
  Reduction::Rows(result, partial, static_cast<int32_t>(width), static_cast<int32_t>(rows),
                  static_cast<int32_t>(stride));
}

}  // namespace npufa
