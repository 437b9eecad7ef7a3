// The core groups' shares of the backward pass where only the device knows the lengths: whole heads, so that each sum has
// one owner without copies.
#pragma once

#include "../../tiling/backward_tiling.h"
#include "../call/device_lengths.h"

namespace npufa {

class BackwardPlan {
 public:
  __aicore__ inline void Fill(BackwardTiling& tiling, const SequenceArguments& arguments) {
    SequenceTiling& sequences = tiling.forward.sequences;
    ResolveLengths(sequences, arguments);
    const uint32_t heads = sequences.heads / sequences.groupSize;
    reader_.Init(sequences, arguments);
    uint64_t total = 0;
    for (uint32_t sequence = 0; sequence < sequences.batch; ++sequence) total += heads * HeadCost(sequence);

    reader_.Init(sequences, arguments);
    uint32_t sequence = 0;
    uint64_t before = 0, cost = HeadCost(0);
    for (uint32_t group = 0; group < tiling.cores; ++group) {
      const uint64_t place = total / tiling.cores * group + total % tiling.cores * group / tiling.cores;
      while (place - before >= heads * cost) {
        before += heads * cost;
        cost = HeadCost(++sequence);
      }
      const uint32_t head = static_cast<uint32_t>((place - before + cost / 2) / cost);
      if (head < heads) {
        tiling.start[group] = {sequence, head, 0};
      } else {
        tiling.start[group] = {sequence + 1, 0, 0};
      }
    }
    for (uint32_t group = tiling.cores; group <= MAX_CORE_GROUPS; ++group)
      tiling.start[group] = {sequences.batch, 0, 0};
  }

 private:
  // Blocks of keys that the rows of a head keep, step by step, and one more for what does not depend on them.
  __aicore__ inline uint64_t HeadCost(uint32_t index) {
    const Sequence& sequence = reader_.Load(index);
    uint64_t cost = 1;
    for (uint32_t row = 0; row < sequence.qLength; row += BACKWARD_STEP_ROWS) {
      const uint32_t last = Min(row + BACKWARD_STEP_ROWS, sequence.qLength) - 1;
      const uint32_t begin = sequence.Begin(row), end = sequence.End(last);
      if (begin < end) cost += CeilDiv(end - begin, CUBE_BLOCK);
    }
    return cost;
  }

  SequenceReader reader_;
};

}  // namespace npufa
