// The work of one core group in the backward pass as a stream of steps. Cube and vector programs walk the same stream.
#pragma once

#include "../../tiling/backward_tiling.h"
#include "../call/schedule.h"

namespace npufa {

struct BackwardStep {
  Step scores;      // up to BACKWARD_STEP_ROWS rows of a head against keys of the unit's block
  uint32_t number;  // among the steps of this core group
  uint32_t unit;    // among the units of this core group
  uint32_t kvHead;
  uint32_t firstKey;  // of the unit's block
  uint32_t blockKeys;
  uint32_t copy;  // where query gradients go, or NO_COPY
  __aicore__ inline uint32_t Slot() const { return number % BACKWARD_SLOTS; }
  __aicore__ inline uint32_t Rows() const { return scores.tile.rows; }
  __aicore__ inline uint32_t Columns() const { return scores.columns; }
  // Key `column` of the step within the unit's block.
  __aicore__ inline uint32_t InBlock(uint32_t column) const { return scores.firstKey - firstKey + column; }
};

class BackwardSchedule {
 public:
  __aicore__ inline void Init(const BackwardTiling& tiling, const SequenceArguments& arguments, uint32_t group) {
    tiling_ = &tiling;
    sequences_.Init(tiling.forward.sequences, arguments);
    next_ = tiling.start[group];
    end_ = tiling.start[group + 1];
    first_ = next_;
    copy_ = tiling.copyOf[group];
    headInGroup_ = row_ = 0;
    steps_ = units_ = 0;
  }

  // False at the end of this group's work.
  __aicore__ inline bool Next(BackwardStep& step) {
    const uint32_t groupSize = tiling_->forward.sequences.groupSize;
    while (FindUnit()) {
      for (; headInGroup_ < groupSize; ++headInGroup_, row_ = 0) {
        while (row_ < sequence_.qLength) {
          const uint32_t row = row_;
          row_ += BACKWARD_STEP_ROWS;
          if (SetStep(step, row)) return true;
        }
      }
      headInGroup_ = 0;
      ++next_.block;
      ++units_;
    }
    return false;
  }

 private:
  __aicore__ inline static bool IsBefore(const BackwardStart& a, const BackwardStart& b) {
    if (a.sequence != b.sequence) return a.sequence < b.sequence;
    return a.kvHead != b.kvHead ? a.kvHead < b.kvHead : a.block < b.block;
  }

  // Skips to the next unit that exists.
  __aicore__ inline bool FindUnit() {
    const uint32_t kvHeads = tiling_->forward.sequences.heads / tiling_->forward.sequences.groupSize;
    while (IsBefore(next_, end_)) {
      sequence_ = sequences_.Load(next_.sequence);
      if (next_.block < CeilDiv(sequence_.kvLength, tiling_->keyBlock)) return true;
      next_.block = 0;
      if (++next_.kvHead < kvHeads) continue;
      next_.kvHead = 0;
      ++next_.sequence;
    }
    return false;
  }

  // The rows from `row` on against the keys of the unit that any of them keeps.
  __aicore__ inline bool SetStep(BackwardStep& step, uint32_t row) {
    const uint32_t rows = Min(BACKWARD_STEP_ROWS, sequence_.qLength - row);
    const uint32_t firstKey = next_.block * tiling_->keyBlock;
    const uint32_t blockEnd = Min(firstKey + tiling_->keyBlock, sequence_.kvLength);
    const uint32_t begin = Max(firstKey, sequence_.Begin(row));
    const uint32_t end = Min(blockEnd, sequence_.End(row + rows - 1));
    if (begin >= end) return false;
    step.firstKey = firstKey;
    step.blockKeys = blockEnd - firstKey;
    step.kvHead = next_.kvHead;
    step.unit = units_;
    step.number = steps_++;
    step.copy = next_.sequence == first_.sequence && next_.kvHead == first_.kvHead ? copy_ : NO_COPY;
    Step& scores = step.scores;
    scores.tile.sequence = sequence_;
    scores.tile.head = next_.kvHead * tiling_->forward.sequences.groupSize + headInGroup_;
    scores.tile.rowsAreHeads = false;
    scores.tile.firstRow = row;
    scores.tile.rows = rows;
    scores.firstKey = firstKey + (begin - firstKey) / CUBE_BLOCK * CUBE_BLOCK;
    scores.columns = end - scores.firstKey;
    return true;
  }

  const BackwardTiling* tiling_;
  SequenceReader sequences_;
  Sequence sequence_;
  BackwardStart next_;
  BackwardStart end_;
  BackwardStart first_;
  uint32_t copy_;
  uint32_t headInGroup_;
  uint32_t row_;
  uint32_t steps_;
  uint32_t units_;
};

}  // namespace npufa
