// Global memory of the backward pass: gradients summed in float, three statistics per query row, and per core group the
// scores of a few steps. Scores (float) give way to probabilities, and their gradients to score gradients, of the input
// type, in the same rows.
#pragma once

#include "backward_schedule.h"

namespace npufa {

template <typename T>
class BackwardWorkspace {
 public:
  __aicore__ inline void Init(GM_ADDR workspace, const BackwardTiling& tiling, uint32_t group) {
    tiling_ = &tiling;
    __gm__ float* next = reinterpret_cast<__gm__ float*>(workspace);
    gradients_.SetGlobalBuffer(next, GradientFloats());
    query_.SetGlobalBuffer(next, tiling.queryFloats);
    key_.SetGlobalBuffer(next += tiling.queryFloats, tiling.keyFloats);
    value_.SetGlobalBuffer(next += tiling.keyFloats, tiling.valueFloats);
    copies_.SetGlobalBuffer(next += tiling.valueFloats, tiling.copyFloats);
    biasSums_.SetGlobalBuffer(next += tiling.copyFloats, BiasSumFloats());
    maximum_.SetGlobalBuffer(next += BiasSumFloats(), tiling.statisticFloats);
    inverse_.SetGlobalBuffer(next += tiling.statisticFloats, tiling.statisticFloats);
    delta_.SetGlobalBuffer(next += tiling.statisticFloats, tiling.statisticFloats);
    next += tiling.statisticFloats;
    biasParts_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(next), tiling.biasPartBytes / sizeof(T));
    next += tiling.biasPartBytes / sizeof(float) + group * (tiling.scoreBytes / sizeof(float));
    scores_.SetGlobalBuffer(next, tiling.scoreBytes / sizeof(float));
    narrow_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(next), tiling.scoreBytes / sizeof(T));
  }

  // Everything that sums start from.
  __aicore__ inline uint64_t GradientFloats() const {
    return tiling_->queryFloats + tiling_->keyFloats + tiling_->valueFloats + tiling_->copyFloats + BiasSumFloats();
  }
  __aicore__ inline const AscendC::GlobalTensor<float>& Gradients() const { return gradients_; }

  // Row of a query token among all rows, of which statistics and query gradients have one each.
  __aicore__ inline uint64_t QueryRow(const Sequence& sequence, uint32_t head, uint32_t token) const {
    const SequenceTiling& s = tiling_->forward.sequences;
    const uint64_t batch = s.packedQuery ? 0 : sequence.batch;
    return (batch * s.heads + head) * s.qTokens + sequence.qFirst + token;
  }
  __aicore__ inline uint64_t KeyRow(const Sequence& sequence, uint32_t kvHead, uint32_t key) const {
    const SequenceTiling& s = tiling_->forward.sequences;
    const uint64_t batch = s.packedKey ? 0 : sequence.batch;
    return (batch * (s.heads / s.groupSize) + kvHead) * s.kvTokens + sequence.kvFirst + key;
  }

  __aicore__ inline AscendC::GlobalTensor<float> Query(uint64_t row) const { return query_[row * tiling_->queryPitch]; }
  __aicore__ inline AscendC::GlobalTensor<float> Key(uint64_t row) const { return key_[row * tiling_->queryPitch]; }
  __aicore__ inline AscendC::GlobalTensor<float> Value(uint64_t row) const { return value_[row * tiling_->valuePitch]; }

  // Query gradients of row `row` of a step.
  __aicore__ inline AscendC::GlobalTensor<float> StepQuery(const BackwardStep& step, uint32_t row) const {
    const Tile& tile = step.scores.tile;
    if (step.copy == NO_COPY) return Query(QueryRow(tile.sequence, tile.head, tile.firstRow + row));
    return Copy(tiling_->copy[step.copy], tile.head, tile.sequence.qFirst + tile.firstRow + row);
  }
  __aicore__ inline AscendC::GlobalTensor<float> Copy(const QueryCopy& copy, uint32_t head, uint32_t stored) const {
    const uint64_t row = static_cast<uint64_t>(head - copy.firstHead) * copy.tokens + stored - copy.firstToken;
    return copies_[copy.offset + row * tiling_->queryPitch];
  }

  // Sums of a vector core, and elements that a sequence feeds, of the bias' gradient.
  __aicore__ inline AscendC::GlobalTensor<float> BiasSums(uint32_t core) const {
    return biasSums_[core * tiling_->biasSumFloats];
  }
  __aicore__ inline AscendC::GlobalTensor<T> BiasPart(uint32_t sequence) const {
    return biasParts_[sequence * tiling_->biasElements];
  }

  // Statistics of a query row, STATISTIC_WIDTH times each: maximum of the scores, PROBABILITY_SCALE / sum of their
  // exponentials (0 without keys), and the dot product of output and its gradient.
  __aicore__ inline AscendC::GlobalTensor<float> Maximum(uint64_t row) const { return maximum_[row * STATISTIC_WIDTH]; }
  __aicore__ inline AscendC::GlobalTensor<float> Inverse(uint64_t row) const { return inverse_[row * STATISTIC_WIDTH]; }
  __aicore__ inline AscendC::GlobalTensor<float> Delta(uint64_t row) const { return delta_[row * STATISTIC_WIDTH]; }

  // Row of a step's scores or (`gradient`) of their gradients: as float, ScorePitch() apart, or as T, NarrowPitch()
  // apart.
  __aicore__ inline AscendC::GlobalTensor<float> Scores(uint32_t slot, bool gradient, uint32_t row) const {
    return scores_[Row(slot, gradient, row) * ScorePitch()];
  }
  __aicore__ inline AscendC::GlobalTensor<T> Narrow(uint32_t slot, bool gradient, uint32_t row) const {
    return narrow_[Row(slot, gradient, row) * NarrowPitch()];
  }
  __aicore__ inline uint32_t ScorePitch() const { return tiling_->keyBlock; }
  __aicore__ inline uint32_t QueryPitch() const { return tiling_->queryPitch; }
  __aicore__ inline uint32_t ValuePitch() const { return tiling_->valuePitch; }
  __aicore__ inline uint32_t NarrowPitch() const { return tiling_->keyBlock * (sizeof(float) / sizeof(T)); }

 private:
  __aicore__ inline uint64_t BiasSumFloats() const { return 2 * tiling_->cores * tiling_->biasSumFloats; }
  __aicore__ inline static uint64_t Row(uint32_t slot, bool gradient, uint32_t row) {
    return (slot * 2 + (gradient ? 1 : 0)) * BACKWARD_STEP_ROWS + row;
  }

  const BackwardTiling* tiling_;
  AscendC::GlobalTensor<float> gradients_;
  AscendC::GlobalTensor<float> query_;
  AscendC::GlobalTensor<float> key_;
  AscendC::GlobalTensor<float> value_;
  AscendC::GlobalTensor<float> copies_;
  AscendC::GlobalTensor<float> biasSums_;
  AscendC::GlobalTensor<T> biasParts_;
  AscendC::GlobalTensor<float> maximum_;
  AscendC::GlobalTensor<float> inverse_;
  AscendC::GlobalTensor<float> delta_;
  AscendC::GlobalTensor<float> scores_;
  AscendC::GlobalTensor<T> narrow_;
};

}  // namespace npufa
