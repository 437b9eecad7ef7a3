// Bias of the input type added to the scores: a value per pair, or the last 1024 rows of one that depends on j - i alone.
#pragma once

#include "../call/schedule.h"
#include "../tiles/tile_copy.h"

namespace npufa {

template <typename T>
class Bias {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR bias) {
    tiling_ = &tiling;
    bias_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(bias));
    // A part of the rows at a time: the float copy would be the largest buffer of a chunk.
    floats_ = tiling.chunkFloats / PARTS;
    pipe.InitBuffer(queue_, 1, floats_ * sizeof(T));
    pipe.InitBuffer(wide_, floats_ * sizeof(float));
  }

  // scores += factor * bias in rows [row, row + rows) of the step's tile.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& scores, const Step& step, uint32_t row, uint32_t rows,
                               uint32_t pitch, float factor) {
    const uint32_t part = floats_ / pitch;
    for (uint32_t first = 0; first < rows; first += part) {
      AddPart(scores[first * pitch], step, row + first, Min(part, rows - first), pitch, factor);
    }
  }

 private:
  static constexpr uint32_t PARTS = 4;
  static constexpr uint32_t COMPRESSED_ROWS = 1024;

  __aicore__ inline void AddPart(const AscendC::LocalTensor<float>& scores, const Step& step, uint32_t row,
                                 uint32_t rows, uint32_t pitch, float factor) {
    AscendC::LocalTensor<T> narrow = queue_.template AllocTensor<T>();
    const bool compressed = tiling_->biasKind == BIAS_COMPRESSED;
    if (compressed || AlignUp(step.columns, BLOCK_BYTES / sizeof(T)) < pitch) Clear(narrow, rows * pitch);
    if (compressed) {
      for (uint32_t r = 0; r < rows; ++r) LoadCompressed(narrow[r * pitch], step, row + r, pitch);
    } else {
      Load(narrow, step, row, rows, pitch);
    }
    queue_.EnQue(narrow);
    narrow = queue_.template DeQue<T>();
    const AscendC::LocalTensor<float> wide = wide_.Get<float>();
    Widen(wide, narrow, rows * pitch);
    queue_.FreeTensor(narrow);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Axpy(scores, wide, factor, static_cast<int32_t>(rows * pitch));
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Load(const AscendC::LocalTensor<T>& narrow, const Step& step, uint32_t row, uint32_t rows,
                              uint32_t pitch) const {
    const Tile& tile = step.tile;
    const uint64_t offset = RowOffset(tiling_->bias, tile, tile.sequence.maskRow + tile.firstRow, row) +
                            tile.sequence.maskColumn + step.firstKey;
    LoadRows(narrow, bias_[offset], rows, step.columns, RowDistance(tiling_->bias, tile), pitch);
  }

  // The stored rows end at the last row of the longest sequence. Rows before them equal the last one, shifted.
  __aicore__ inline void LoadCompressed(const AscendC::LocalTensor<T>& narrow, const Step& step, uint32_t row,
                                        uint32_t pitch) const {
    const Tile& tile = step.tile;
    const uint32_t query = tile.firstRow + (tile.rowsAreHeads ? 0 : row);
    const uint32_t head = tile.head + (tile.rowsAreHeads ? row : 0);
    const uint32_t total = tiling_->sequences.longestQuery;
    const uint32_t missing = total - COMPRESSED_ROWS;
    const uint32_t shift = query < missing ? total - 1 - query : 0;
    const uint32_t stored = query < missing ? COMPRESSED_ROWS - 1 : query - missing;
    const uint64_t end = Min<uint64_t>(step.firstKey + shift + step.columns, tiling_->bias.token);
    if (end <= step.firstKey + shift) return;
    const uint32_t columns = static_cast<uint32_t>(end) - step.firstKey - shift;
    const uint64_t offset = tile.sequence.batch * tiling_->bias.batch + head * tiling_->bias.head +
                            stored * tiling_->bias.token + step.firstKey + shift;
    LoadRows(narrow, bias_[offset], 1, columns, columns, AlignUp(columns, BLOCK_BYTES / sizeof(T)));
  }

  // The copy does not reach every element of the rows; what it leaves must be defined.
  __aicore__ inline static void Clear(const AscendC::LocalTensor<T>& narrow, uint32_t count) {
    AscendC::Duplicate(narrow.template ReinterpretCast<int16_t>(), static_cast<int16_t>(0),
                       static_cast<int32_t>(count * (sizeof(T) / sizeof(int16_t))));
    OrderPipes<AscendC::HardEvent::V_MTE2>();
  }

  const ForwardTiling* tiling_;
  AscendC::GlobalTensor<T> bias_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> queue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> wide_;
  uint32_t floats_;
};

}  // namespace npufa
