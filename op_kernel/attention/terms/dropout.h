// Dropout of probabilities by a mask of bits: bit k of the flat mask belongs to score k, LSB first.
#pragma once

#include "../call/schedule.h"
#include "../tiles/tile_copy.h"

namespace npufa {

class Dropout {
 public:
  // Bits of tiles of up to `floats` floats.
  __aicore__ inline void Init(AscendC::TPipe& pipe, GM_ADDR mask, uint32_t floats) {
    mask_.SetGlobalBuffer(reinterpret_cast<__gm__ uint8_t*>(mask));
    const uint32_t bytes = Max(floats / BITS_PER_BYTE, MAX_ROWS * BLOCK_BYTES);
    pipe.InitBuffer(queue_, 1, 2 * bytes);
    pipe.InitBuffer(bits_, bytes);
    half_ = bytes;
  }

  // Clears what is dropped in `rows` rows of `columns` floats, whose first bits lie `distance` bits apart.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& tile, uint64_t firstBit, uint64_t distance,
                               uint32_t rows, uint32_t columns, uint32_t pitch) {
    const uint32_t rowBytes = AlignUp(CeilDiv(columns, BITS_PER_BYTE), BLOCK_BYTES);
    const bool aligned = firstBit % BITS_PER_BYTE == 0 && (rows == 1 || distance % BITS_PER_BYTE == 0);
    AscendC::LocalTensor<uint8_t> raw = queue_.AllocTensor<uint8_t>();
    if (aligned) {
      LoadRows(raw, mask_[firstBit / BITS_PER_BYTE], rows, CeilDiv(columns, BITS_PER_BYTE), distance / BITS_PER_BYTE,
               rowBytes);
    } else {
      for (uint32_t r = 0; r < rows; ++r) LoadUnaligned(raw, firstBit + r * distance, r * rowBytes, columns);
    }
    queue_.EnQue(raw);
    raw = queue_.DeQue<uint8_t>();
    AscendC::LocalTensor<uint8_t> bits = raw;
    if (!aligned) {
      bits = bits_.Get<uint8_t>();
      for (uint32_t r = 0; r < rows; ++r) {
        Shift(bits[r * rowBytes], raw[r * rowBytes], raw[half_ + r * rowBytes],
              static_cast<uint16_t>((firstBit + r * distance) % BITS_PER_BYTE),
              AlignUp(columns, FLOATS_PER_REPEAT) / BITS_PER_WORD);
      }
    }
    const uint32_t selected = AlignUp(columns, FLOATS_PER_REPEAT);
    for (uint32_t r = 0; r < rows; ++r) {
      AscendC::Select(tile[r * pitch], bits[r * rowBytes], tile[r * pitch], 0.0f,
                      AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE, selected);
    }
    AscendC::PipeBarrier<PIPE_V>();
    queue_.FreeTensor(raw);
  }

 private:
  static constexpr uint32_t BITS_PER_BYTE = 8;
  static constexpr uint32_t BITS_PER_WORD = 16;
  static constexpr uint32_t MAX_ROWS = CUBE_BLOCK / 2;

  // The row's words, and the words two bytes later, whose low bits complete them.
  __aicore__ inline void LoadUnaligned(const AscendC::LocalTensor<uint8_t>& raw, uint64_t firstBit, uint32_t at,
                                       uint32_t columns) {
    const uint64_t first = firstBit / BITS_PER_BYTE;
    const uint64_t end = (firstBit + columns + BITS_PER_BYTE - 1) / BITS_PER_BYTE;
    const uint32_t bytes = static_cast<uint32_t>(end - first);
    const uint32_t whole = AlignUp(CeilDiv(columns, BITS_PER_BYTE), BLOCK_BYTES);
    LoadRows(raw[at], mask_[first], 1, Min(bytes, whole), Min(bytes, whole), whole);
    // Nothing follows a row that ends within its first word.
    const uint32_t later = bytes > sizeof(uint16_t) ? bytes - sizeof(uint16_t) : 1;
    const uint64_t from = bytes > sizeof(uint16_t) ? first + sizeof(uint16_t) : first;
    const AscendC::LocalTensor<uint8_t> high = raw[half_ + at];
    if (AlignUp(later, BLOCK_BYTES) < whole) Clear(high, whole);
    LoadRows(high, mask_[from], 1, later, later, whole);
  }

  // The copy does not reach every byte of the row; what it leaves must be defined.
  __aicore__ inline static void Clear(const AscendC::LocalTensor<uint8_t>& bytes, uint32_t count) {
    AscendC::Duplicate(bytes.ReinterpretCast<int16_t>(), static_cast<int16_t>(0),
                       static_cast<int32_t>(count / sizeof(int16_t)));
    OrderPipes<AscendC::HardEvent::V_MTE2>();
  }

  __aicore__ inline static void Shift(const AscendC::LocalTensor<uint8_t>& bits,
                                      const AscendC::LocalTensor<uint8_t>& low,
                                      const AscendC::LocalTensor<uint8_t>& high, uint16_t shift, uint32_t words) {
    const AscendC::LocalTensor<uint16_t> result = bits.ReinterpretCast<uint16_t>();
    const AscendC::LocalTensor<uint16_t> upper = high.ReinterpretCast<uint16_t>();
    const int32_t count = static_cast<int32_t>(words);
    AscendC::ShiftRight(result, low.ReinterpretCast<uint16_t>(), shift, count);
    if (shift > 0) AscendC::ShiftLeft(upper, upper, static_cast<uint16_t>(BITS_PER_WORD - shift), count);
    AscendC::PipeBarrier<PIPE_V>();
    if (shift > 0) AscendC::Or(result, result, upper, count);
    AscendC::PipeBarrier<PIPE_V>();
  }

  AscendC::GlobalTensor<uint8_t> mask_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> queue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> bits_;
  uint32_t half_;
};

}  // namespace npufa
