// Masks what the window of keys leaves out, computed from positions: no mask is read.
#pragma once

#include "row_ops.h"
#include "schedule.h"

namespace npufa {

constexpr float NEGATIVE_INFINITY = -__builtin_inff();

// Bits [begin, end) of a 64-bit word.
__aicore__ inline uint64_t BitRange(uint32_t begin, uint32_t end) {
  if (begin >= end) return 0;
  const uint64_t upto = end >= FLOATS_PER_REPEAT ? ~static_cast<uint64_t>(0) : (static_cast<uint64_t>(1) << end) - 1;
  return upto & ~((static_cast<uint64_t>(1) << begin) - 1);
}

// Sets the bits' columns of one word to `value` in `rows` rows.
__aicore__ inline void FillBits(const AscendC::LocalTensor<float>& tile, float value, uint64_t bits, uint32_t rows,
                                uint32_t pitch) {
  if (bits == 0) return;
  uint64_t mask[2] = {bits, 0};
  AscendC::Duplicate(tile, value, mask, static_cast<uint8_t>(rows), 1, static_cast<uint8_t>(pitch / FLOATS_PER_BLOCK));
}

class WindowMask {
 public:
  // Rows [row, row + rows) of the step's tile against its columns.
  __aicore__ inline WindowMask(const Step& step, uint32_t row, uint32_t rows)
      : begin_(static_cast<int64_t>(step.tile.firstRow) + row + step.tile.beginShift - step.firstKey),
        end_(static_cast<int64_t>(step.tile.firstRow) + row + step.tile.endShift + 1 - step.firstKey),
        columns_(step.columns),
        rows_(rows) {}

  // Writes -infinity into every column of [0, pitch) outside the rows' windows.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& tile, uint32_t pitch) const {
    const uint32_t last = rows_ - 1;
    if (Begin(last) == 0 && End(0) == pitch) return;
    for (uint32_t word = 0; word < pitch; word += FLOATS_PER_REPEAT) {
      const uint32_t firstBegin = InWord(Begin(0), word), firstEnd = InWord(End(0), word);
      const uint32_t lastBegin = InWord(Begin(last), word), lastEnd = InWord(End(last), word);
      // Both ends of a window grow with the row.
      const bool outside = lastEnd == 0 || firstBegin == FLOATS_PER_REPEAT;
      if (outside || (firstBegin == lastBegin && firstEnd == lastEnd)) {
        FillBits(tile[word], NEGATIVE_INFINITY, outside ? ~static_cast<uint64_t>(0) : ~BitRange(firstBegin, firstEnd),
                 rows_, pitch);
        continue;
      }
      for (uint32_t row = 0; row < rows_; ++row) {
        const uint64_t kept = BitRange(InWord(Begin(row), word), InWord(End(row), word));
        FillBits(tile[row * pitch + word], NEGATIVE_INFINITY, ~kept, 1, pitch);
      }
    }
  }

 private:
  __aicore__ inline uint32_t Clip(int64_t column) const {
    return static_cast<uint32_t>(Max<int64_t>(0, Min<int64_t>(column, columns_)));
  }
  __aicore__ inline uint32_t Begin(uint32_t row) const { return Clip(begin_ + row); }
  __aicore__ inline uint32_t End(uint32_t row) const { return Clip(end_ + row); }
  __aicore__ inline static uint32_t InWord(uint32_t column, uint32_t word) {
    return column <= word ? 0 : Min(column - word, FLOATS_PER_REPEAT);
  }

  int64_t begin_;
  int64_t end_;
  uint32_t columns_;
  uint32_t rows_;
};

}  // namespace npufa
