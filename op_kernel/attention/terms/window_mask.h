// Masks what the window of keys leaves out, computed from positions: no mask is read.
#pragma once

#include "../call/schedule.h"
#include "../tiles/row_ops.h"

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

// A copy in leaves columns beyond its last block untouched: they become 0.
__aicore__ inline void ClearTail(const AscendC::LocalTensor<float>& tile, uint32_t columns, uint32_t rows,
                                 uint32_t pitch) {
  if (columns == pitch) return;
  for (uint32_t word = columns / FLOATS_PER_REPEAT * FLOATS_PER_REPEAT; word < pitch; word += FLOATS_PER_REPEAT) {
    const uint32_t used = columns > word ? columns - word : 0;
    FillBits(tile[word], 0.0f, BitRange(used, FLOATS_PER_REPEAT), rows, pitch);
  }
  AscendC::PipeBarrier<PIPE_V>();
}

class WindowMask {
 public:
  // Rows [row, row + rows) of the step's tile against its columns.
  __aicore__ inline WindowMask(const Step& step, uint32_t row, uint32_t rows)
      : sequence_(step.tile.sequence), firstRow_(step.tile.firstRow + (step.tile.rowsAreHeads ? 0 : row)),
        rowStep_(step.tile.rowsAreHeads ? 0 : 1), firstKey_(step.firstKey), columns_(step.columns), rows_(rows) {}

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
  __aicore__ inline uint32_t Column(uint32_t key) const {
    return key <= firstKey_ ? 0 : Min(key - firstKey_, columns_);
  }
  __aicore__ inline uint32_t Begin(uint32_t row) const { return Column(sequence_.Begin(firstRow_ + row * rowStep_)); }
  __aicore__ inline uint32_t End(uint32_t row) const { return Column(sequence_.End(firstRow_ + row * rowStep_)); }
  __aicore__ inline static uint32_t InWord(uint32_t column, uint32_t word) {
    return column <= word ? 0 : Min(column - word, FLOATS_PER_REPEAT);
  }

  const Sequence& sequence_;
  uint32_t firstRow_;
  uint32_t rowStep_;
  uint32_t firstKey_;
  uint32_t columns_;
  uint32_t rows_;
};

}  // namespace npufa
