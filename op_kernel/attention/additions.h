// What a call adds to the scores or takes out of them by way of a tensor: bias (pse_shift) and dense mask.
#pragma once

#include "forward_tiling.h"
#include "window_mask.h"

namespace npufa {

// Copies `rows` rows of `columns` elements into rows of `pitch` elements; surplus elements of the last block are 0.
template <typename T>
__aicore__ inline void LoadRows(const AscendC::LocalTensor<T>& tile, const AscendC::GlobalTensor<T>& source,
                                uint32_t rows, uint32_t columns, uint64_t sourcePitch, uint32_t pitch) {
  constexpr uint32_t perBlock = BLOCK_BYTES / sizeof(T);
  const uint32_t padded = AlignUp(columns, perBlock);
  AscendC::DataCopyExtParams copy(static_cast<uint16_t>(rows), columns * sizeof(T),
                                  static_cast<uint32_t>((sourcePitch - columns) * sizeof(T)),
                                  (pitch - padded) / perBlock, 0);
  AscendC::DataCopyPadExtParams<T> pad;
  pad.isPad = true;
  pad.rightPadding = static_cast<uint8_t>(padded - columns);
  AscendC::DataCopyPad(tile, source, copy, pad);
}

// Dense mask: a byte per pair, not 0 where it is left out.
class DenseMask {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR mask, uint32_t chunkFloats) {
    tiling_ = &tiling;
    mask_.SetGlobalBuffer(reinterpret_cast<__gm__ uint8_t*>(mask));
    pipe.InitBuffer(queue_, 1, chunkFloats);
    pipe.InitBuffer(numbers_, chunkFloats * sizeof(half));
    pipe.InitBuffer(bits_, chunkFloats / BITS_PER_BYTE);
    // Comparisons take whole 256 bytes.
    AscendC::Duplicate(numbers_.Get<half>(), static_cast<half>(0.0f), static_cast<int32_t>(chunkFloats));
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& tile, const Step& step, uint32_t row, uint32_t rows,
                               uint32_t pitch) {
    AscendC::LocalTensor<uint8_t> bytes = queue_.AllocTensor<uint8_t>();
    const uint64_t offset = step.tile.batch * tiling_->mask.batch + step.tile.head * tiling_->mask.head +
                            (step.tile.firstRow + row) * tiling_->mask.token + step.firstKey;
    LoadRows(bytes, mask_[offset], rows, step.columns, tiling_->mask.token, pitch);
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
    AscendC::Select(tile, bits, tile, NEGATIVE_INFINITY, AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE, count);
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

// Bias added to the scaled scores, of the input type.
template <typename T>
class Bias {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR bias, uint32_t chunkFloats) {
    tiling_ = &tiling;
    bias_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(bias));
    // A quarter of the rows at a time: the float copy is the largest buffer of a chunk.
    floats_ = chunkFloats / PARTS;
    pipe.InitBuffer(queue_, 2, floats_ * sizeof(T));
    pipe.InitBuffer(wide_, floats_ * sizeof(float));
  }

  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& tile, const Step& step, uint32_t row, uint32_t rows,
                               uint32_t pitch) {
    const uint32_t part = floats_ / pitch;
    for (uint32_t first = 0; first < rows; first += part) {
      AddPart(tile[first * pitch], step, row + first, Min(part, rows - first), pitch);
    }
  }

 private:
  static constexpr uint32_t PARTS = 4;
  static constexpr uint32_t COMPRESSED_ROWS = 1024;

  __aicore__ inline void AddPart(const AscendC::LocalTensor<float>& tile, const Step& step, uint32_t row,
                                 uint32_t rows, uint32_t pitch) {
    AscendC::LocalTensor<T> narrow = queue_.template AllocTensor<T>();
    if (AlignUp(step.columns, FRACTAL) < pitch || tiling_->biasRows == BIAS_ROW_COMPRESSED) Clear(narrow, rows * pitch);
    Load(narrow, step, row, rows, pitch);
    queue_.EnQue(narrow);
    narrow = queue_.template DeQue<T>();
    const AscendC::LocalTensor<float> wide = wide_.Get<float>();
    AscendC::Cast(wide, narrow, AscendC::RoundMode::CAST_NONE, rows * pitch);
    queue_.FreeTensor(narrow);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(tile, tile, wide, rows * pitch);
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Load(const AscendC::LocalTensor<T>& narrow, const Step& step, uint32_t row, uint32_t rows,
                              uint32_t pitch) const {
    const Tile& tile = step.tile;
    const uint64_t base = tile.batch * tiling_->bias.batch + tile.head * tiling_->bias.head;
    const uint64_t rowPitch = tiling_->bias.token;
    if (tiling_->biasRows == BIAS_ROW_EACH) {
      LoadRows(narrow, bias_[base + (tile.firstRow + row) * rowPitch + step.firstKey], rows, step.columns, rowPitch, pitch);
      return;
    }
    for (uint32_t r = 0; r < rows; ++r) {
      const uint32_t query = tile.firstRow + row + r;
      uint64_t source = step.firstKey;
      uint32_t columns = step.columns;
      if (tiling_->biasRows == BIAS_ROW_COMPRESSED) {
        const uint32_t missing = tiling_->qTokens - COMPRESSED_ROWS;
        const uint32_t shift = query < missing ? tiling_->qTokens - 1 - query : 0;
        const uint32_t stored = query < missing ? COMPRESSED_ROWS - 1 : query - missing;
        const uint32_t end = Min(step.firstKey + shift + step.columns, tiling_->kvTokens);
        if (end <= step.firstKey + shift) continue;
        columns = end - step.firstKey - shift;
        source = stored * rowPitch + step.firstKey + shift;
      }
      LoadRows(narrow[r * pitch], bias_[base + source], 1, columns, columns, AlignUp(columns, FRACTAL));
    }
  }

  // The copy does not reach every element of the rows; what it leaves must be defined.
  __aicore__ inline static void Clear(const AscendC::LocalTensor<T>& narrow, uint32_t count) {
    AscendC::Duplicate(narrow.template ReinterpretCast<int16_t>(), static_cast<int16_t>(0), static_cast<int32_t>(count));
    const auto event = GetTPipePtr()->FetchEventID(AscendC::HardEvent::V_MTE2);
    AscendC::SetFlag<AscendC::HardEvent::V_MTE2>(event);
    AscendC::WaitFlag<AscendC::HardEvent::V_MTE2>(event);
  }

  const ForwardTiling* tiling_;
  AscendC::GlobalTensor<T> bias_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> queue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> wide_;
  uint32_t floats_;
};

}  // namespace npufa
