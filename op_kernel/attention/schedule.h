// The work of one core group as a stream of pipeline steps. Cube and vector programs walk the same stream.
#pragma once

#include "forward_tiling.h"
#include "utils.h"

namespace npufa {

// Query rows of one head of one sequence that share a running softmax.
struct Tile {
  uint32_t batch;
  uint32_t head;
  uint32_t firstRow;     // within the sequence
  uint32_t rows;         // that take part
  uint32_t storedRows;   // that exist in the output
  int64_t beginShift;    // row i keeps keys [i + beginShift, i + endShift]
  int64_t endShift;
  uint32_t firstKey;     // first key any row keeps, aligned down
  uint32_t endKey;       // one past the last
  uint32_t steps;
};

// `stepColumns` keys of a tile.
struct Step {
  Tile tile;
  uint32_t index;       // in the tile
  uint32_t tileNumber;  // among the tiles of this core group that have steps
  uint32_t firstKey;
  uint32_t columns;
  __aicore__ inline bool IsFirst() const { return index == 0; }
  __aicore__ inline bool IsLast() const { return index + 1 == tile.steps; }
};

class Schedule {
 public:
  __aicore__ inline void Init(const ForwardTiling& tiling, GM_ADDR qLengths, GM_ADDR kvLengths, uint32_t group) {
    tiling_ = &tiling;
    if (tiling.qLengths != LENGTH_FULL) qLengths_.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(qLengths));
    if (tiling.kvLengths != LENGTH_FULL) kvLengths_.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(kvLengths));
    tilesPerHead_ = CeilDiv(tiling.qTokens, tiling.tileRows);
    nextTile_ = tiling.firstTile[group];
    endTile_ = tiling.firstTile[group + 1];
    tileNumber_ = 0;
    loadedBatch_ = tiling.batch;
  }

  // Moves to the next tile. False at the end of this group's work.
  __aicore__ inline bool NextTile(Tile& tile) {
    if (nextTile_ >= endTile_) return false;
    const uint64_t sequenceHead = nextTile_ / tilesPerHead_;
    tile.batch = static_cast<uint32_t>(sequenceHead / tiling_->heads);
    tile.head = static_cast<uint32_t>(sequenceHead % tiling_->heads);
    tile.firstRow = static_cast<uint32_t>(nextTile_ % tilesPerHead_) * tiling_->tileRows;
    ++nextTile_;
    LoadLengths(tile.batch);
    tile.storedRows = Min(tiling_->tileRows, tiling_->qTokens - tile.firstRow);
    tile.rows = tile.firstRow < qLength_ ? Min(tile.storedRows, qLength_ - tile.firstRow) : 0;
    SetWindow(tile);
    if (tile.steps > 0) ++tileNumber_;
    return true;
  }

  __aicore__ inline Step StepOf(const Tile& tile, uint32_t index) const {
    Step step;
    step.tile = tile;
    step.index = index;
    step.tileNumber = tileNumber_;
    step.firstKey = tile.firstKey + index * tiling_->stepColumns;
    step.columns = Min(tiling_->stepColumns, tile.endKey - step.firstKey);
    return step;
  }

 private:
  __aicore__ inline void LoadLengths(uint32_t batch) {
    if (batch == loadedBatch_) return;
    loadedBatch_ = batch;
    qLength_ = Length(qLengths_, tiling_->qLengths, tiling_->qTokens, batch);
    kvLength_ = Length(kvLengths_, tiling_->kvLengths, tiling_->kvTokens, batch);
  }

  __aicore__ inline uint32_t Length(const AscendC::GlobalTensor<int64_t>& lengths, uint32_t source, uint32_t full,
                                    uint32_t batch) const {
    if (source == LENGTH_FULL) return full;
    return static_cast<uint32_t>(lengths.GetValue(source == LENGTH_EACH ? batch : 0));
  }

  __aicore__ inline void SetWindow(Tile& tile) const {
    const int64_t corner = static_cast<int64_t>(kvLength_) - qLength_;
    tile.beginShift = tiling_->beginShift + (tiling_->beginFollowsCorner ? corner : 0);
    tile.endShift = tiling_->endShift + (tiling_->endFollowsCorner ? corner : 0);
    const int64_t lastRow = static_cast<int64_t>(tile.firstRow) + tile.rows - 1;
    const int64_t begin = Max<int64_t>(tile.firstRow + tile.beginShift, 0);
    const int64_t end = Min<int64_t>(lastRow + tile.endShift + 1, kvLength_);
    tile.steps = 0;
    tile.firstKey = 0;
    tile.endKey = 0;
    if (tile.rows == 0 || begin >= end) return;
    tile.firstKey = static_cast<uint32_t>(begin) / FRACTAL * FRACTAL;
    tile.endKey = static_cast<uint32_t>(end);
    tile.steps = CeilDiv(tile.endKey - tile.firstKey, tiling_->stepColumns);
  }

  const ForwardTiling* tiling_;
  AscendC::GlobalTensor<int64_t> qLengths_;
  AscendC::GlobalTensor<int64_t> kvLengths_;
  uint64_t tilesPerHead_;
  uint64_t nextTile_;
  uint64_t endTile_;
  uint32_t tileNumber_;
  uint32_t loadedBatch_;
  uint32_t qLength_;
  uint32_t kvLength_;
};

// Runs `stages` over the steps of a schedule, the second stage two steps behind the first: Begin(tile) for every tile,
// then First(step, slot), Both(step, slot, earlier step, its slot), Second(step, slot).
template <typename Stages>
__aicore__ inline void RunPipelined(Schedule& schedule, Stages& stages) {
  constexpr uint32_t LAG = PIPELINE_SLOTS - 1;
  Step steps[PIPELINE_SLOTS];
  uint32_t issued = 0;
  Tile tile;
  while (schedule.NextTile(tile)) {
    stages.Begin(tile);
    for (uint32_t index = 0; index < tile.steps; ++index, ++issued) {
      const uint32_t slot = issued % PIPELINE_SLOTS;
      steps[slot] = schedule.StepOf(tile, index);
      if (issued < LAG) {
        stages.First(steps[slot], slot);
      } else {
        const uint32_t lagging = (issued - LAG) % PIPELINE_SLOTS;
        stages.Both(steps[slot], slot, steps[lagging], lagging);
      }
    }
  }
  for (uint32_t done = issued > LAG ? issued - LAG : 0; done < issued; ++done) {
    stages.Second(steps[done % PIPELINE_SLOTS], done % PIPELINE_SLOTS);
  }
}

}  // namespace npufa
