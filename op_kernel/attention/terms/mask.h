// Dense mask: a byte per pair, not 0 where the pair is left out.
#pragma once

#include "../call/schedule.h"
#include "../tiles/tile_copy.h"
#include "window_mask.h"

namespace npufa {

class DenseMask {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR mask) {
    tiling_ = &tiling;
    mask_.SetGlobalBuffer(reinterpret_cast<__gm__ uint8_t*>(mask));
    const uint32_t count = tiling.chunkFloats;
    pipe.InitBuffer(queue_, 1, count);
    pipe.InitBuffer(numbers_, count * sizeof(half));
    pipe.InitBuffer(bits_, count / BITS_PER_BYTE);
    // Comparisons take whole 256 bytes.
    AscendC::Duplicate(numbers_.Get<half>(), static_cast<half>(0.0f), static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Writes -infinity into the scores of rows [row, row + rows) of the step's tile that are left out.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& scores, const Step& step, uint32_t row, uint32_t rows,
                               uint32_t pitch) {
    const Tile& tile = step.tile;
    AscendC::LocalTensor<uint8_t> bytes = queue_.AllocTensor<uint8_t>();
    const uint64_t offset = RowOffset(tiling_->mask, tile, tile.sequence.maskRow + tile.firstRow, row) +
                            tile.sequence.maskColumn + step.firstKey;
    LoadRows(bytes, mask_[offset], rows, step.columns, RowDistance(tiling_->mask, tile), pitch);
    queue_.EnQue(bytes);
    bytes = queue_.DeQue<uint8_t>();
    ClearTail(bytes, AlignUp(step.columns, BLOCK_BYTES), rows, pitch);
    const uint32_t count = rows * pitch;
    const AscendC::LocalTensor<half> numbers = numbers_.Get<half>();
    const AscendC::LocalTensor<uint8_t> bits = bits_.Get<uint8_t>();
    AscendC::Cast(numbers, bytes, AscendC::RoundMode::CAST_NONE, count);
    queue_.FreeTensor(bytes);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::CompareScalar(bits, numbers, static_cast<half>(0.0f), AscendC::CMPMODE::EQ,
                           AlignUp(count, COMPARE_ALIGNMENT));
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Select(scores, bits, scores, NEGATIVE_INFINITY, AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE, count);
    AscendC::PipeBarrier<PIPE_V>();
  }

 private:
  static constexpr uint32_t BITS_PER_BYTE = 8;
  static constexpr uint32_t BYTES_PER_REPEAT = 256;
  static constexpr uint32_t COMPARE_ALIGNMENT = BYTES_PER_REPEAT / sizeof(half);

  // Rows are longer than what the copy in writes.
  __aicore__ inline static void ClearTail(const AscendC::LocalTensor<uint8_t>& bytes, uint32_t written, uint32_t rows,
                                          uint32_t pitch) {
    const AscendC::LocalTensor<int16_t> words = bytes.ReinterpretCast<int16_t>();
    for (uint32_t column = written; column < pitch; column += BYTES_PER_REPEAT) {
      const uint64_t width = Min(pitch - column, BYTES_PER_REPEAT) / sizeof(int16_t);
      AscendC::Duplicate(words[column / sizeof(int16_t)], static_cast<int16_t>(0), width, static_cast<uint8_t>(rows), 1,
                         static_cast<uint8_t>(pitch / BLOCK_BYTES));
    }
    AscendC::PipeBarrier<PIPE_V>();
  }

  const ForwardTiling* tiling_;
  AscendC::GlobalTensor<uint8_t> mask_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> queue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> numbers_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> bits_;
};

}  // namespace npufa
