// The work of one core group as a stream of pipeline steps. Cube and vector programs walk the same stream.
#pragma once

#include "../../tiling/forward_tiling.h"
#include "sequences.h"

namespace npufa {

constexpr uint32_t WHOLE_TILE = 0xffffffff;

// Query rows that share keys, with a running softmax each: tokens of one head, or heads of one token.
struct Tile {
  Sequence sequence;
  bool rowsAreHeads;    // rows are query heads of one group, or of two, at one token, else tokens of one head
  uint32_t head;        // of the first row
  uint32_t firstRow;    // token of the first row, within the sequence
  uint32_t rows;        // that take part
  uint32_t storedRows;  // that exist in the output
  uint32_t firstKey;    // first key of this group's part
  uint32_t endKey;      // one past the last
  uint32_t steps;
  uint32_t part;   // where its partial result goes, or WHOLE_TILE
  bool continues;  // the tile's first keys are another part's
};

// `stepColumns` keys of a tile.
struct Step {
  Tile tile;
  uint32_t number;      // among the steps of this core group
  uint32_t index;       // in the tile
  uint32_t tileNumber;  // among the tiles of this core group that have steps
  uint32_t firstKey;
  uint32_t columns;
  __aicore__ inline bool IsFirst() const { return index == 0; }
  __aicore__ inline bool IsLast() const { return index + 1 == tile.steps; }
  __aicore__ inline uint32_t Slot() const { return number % PIPELINE_SLOTS; }
  __aicore__ inline uint32_t KeySlot() const { return number % KEY_SLOTS; }
};

// Parts of cut tiles: a group's first tile may begin, its last one may end in the middle.
__aicore__ inline uint32_t PartOfBeginning(uint32_t group) { return 2 * group + 1; }
__aicore__ inline uint32_t PartOfContinuation(uint32_t group) { return 2 * group; }

class Schedule {
 public:
  __aicore__ inline void Init(const ForwardTiling& tiling, const SequenceArguments& arguments, uint32_t group) {
    tiling_ = &tiling;
    group_ = group;
    sequences_.Init(tiling.sequences, arguments);
    next_ = tiling.start[group];
    end_ = tiling.start[group + 1];
    tileNumber_ = 0;
    steps_ = 0;
  }

  __aicore__ inline uint32_t Sequences() const { return sequences_.Count(); }

  // Heads, or groups of them, with tiles of their own. Sequences must not decrease from call to call.
  __aicore__ inline uint32_t Heads(uint32_t sequence) {
    const SequenceTiling& sequences = tiling_->sequences;
    return RowsAreHeads(sequences_.Load(sequence).qStored) ? sequences.heads / tiling_->tileHeads : sequences.heads;
  }
  __aicore__ inline uint32_t TilesPerHead(uint32_t sequence) {
    const uint32_t stored = sequences_.Load(sequence).qStored;
    return RowsAreHeads(stored) ? BlocksOfHeads() * stored : CeilDiv(stored, tiling_->tileRows);
  }

  // Whether tiles of a sequence are cut into pieces of pieceBlocks, each with a part of its own.
  __aicore__ inline bool HasPieces(uint32_t sequence) {
    return tiling_->pieceBlocks > 0 && sequences_.Load(sequence).qStored <= PIECE_ROWS;
  }
  __aicore__ inline uint32_t PiecesOf(const Tile& tile) const {
    return CeilDiv(tile.endKey - tile.firstKey, tiling_->pieceBlocks * SPLIT_KEYS);
  }
  // The part of the first piece of tile `index`.
  __aicore__ inline uint32_t PartOfPieces(uint32_t sequence, uint32_t index) const {
    const SequenceTiling& s = tiling_->sequences;
    return (sequence * Min(PIECE_ROWS, s.qTokens) * (s.heads / tiling_->tileHeads) * BlocksOfHeads() + index) *
           tiling_->mostPieces;
  }

  // Moves to the next tile. False at the end of this group's work.
  __aicore__ inline bool NextTile(Tile& tile) {
    while (IsBefore(next_, end_) && next_.tile >= Heads(next_.sequence) * TilesPerHead(next_.sequence)) {
      ++next_.sequence;
      next_.tile = 0;
    }
    if (!IsBefore(next_, end_)) return false;
    LoadTile(tile, next_.sequence, next_.tile);
    if (HasPieces(next_.sequence) && PiecesOf(tile) > 1) {
      TakePiece(tile);
    } else {
      const bool cut = next_.sequence == end_.sequence && next_.tile == end_.tile;
      Restrict(tile, next_.keyBlock, cut ? end_.keyBlock : 0);
      ++next_.tile;
      next_.keyBlock = 0;
    }
    if (tile.steps > 0) ++tileNumber_;
    return true;
  }

  // Tile `index` of a sequence with all its keys. Sequences must not decrease from call to call.
  __aicore__ inline void LoadTile(Tile& tile, uint32_t sequence, uint32_t index) {
    tile.sequence = sequences_.Load(sequence);
    const uint32_t stored = tile.sequence.qStored;
    tile.rowsAreHeads = RowsAreHeads(stored);
    if (tile.rowsAreHeads) {
      const uint32_t heads = tiling_->tileHeads;
      const uint32_t blocks = BlocksOfHeads();
      const uint32_t block = index % blocks * tiling_->tileRows;
      tile.head = index / blocks / stored * heads + block;
      tile.firstRow = index / blocks % stored;
      tile.storedRows = Min(tiling_->tileRows, heads - block);
      tile.rows = tile.firstRow < tile.sequence.qLength ? tile.storedRows : 0;
    } else {
      const uint32_t perHead = CeilDiv(stored, tiling_->tileRows);
      tile.head = index / perHead;
      tile.firstRow = index % perHead * tiling_->tileRows;
      tile.storedRows = Min(tiling_->tileRows, stored - tile.firstRow);
      const uint32_t length = tile.sequence.qLength;
      tile.rows = tile.firstRow < length ? Min(tile.storedRows, length - tile.firstRow) : 0;
    }
    SetKeys(tile);
  }

  __aicore__ inline Step StepOf(const Tile& tile, uint32_t index) {
    Step step;
    step.tile = tile;
    step.number = steps_++;
    step.index = index;
    step.tileNumber = tileNumber_;
    step.firstKey = tile.firstKey + index * tiling_->stepColumns;
    step.columns = Min(tiling_->stepColumns, tile.endKey - step.firstKey);
    return step;
  }

 private:
  __aicore__ inline static bool IsBefore(const WorkStart& a, const WorkStart& b) {
    if (a.sequence != b.sequence) return a.sequence < b.sequence;
    return a.tile != b.tile ? a.tile < b.tile : a.keyBlock < b.keyBlock;
  }

  // Of the heads that a tile could have as rows.
  __aicore__ inline uint32_t BlocksOfHeads() const { return CeilDiv(tiling_->tileHeads, tiling_->tileRows); }

  // Where that makes fewer tiles of a sequence, as for one token.
  __aicore__ inline bool RowsAreHeads(uint32_t stored) const {
    return static_cast<uint64_t>(BlocksOfHeads()) * stored <
           static_cast<uint64_t>(tiling_->tileHeads) * CeilDiv(stored, tiling_->tileRows);
  }

  // Keys that any row of the tile keeps.
  __aicore__ inline void SetKeys(Tile& tile) const {
    tile.firstKey = tile.endKey = tile.steps = 0;
    tile.part = WHOLE_TILE;
    tile.continues = false;
    if (tile.rows == 0) return;
    const uint32_t lastRow = tile.rowsAreHeads ? tile.firstRow : tile.firstRow + tile.rows - 1;
    const uint32_t begin = tile.sequence.Begin(tile.firstRow);
    const uint32_t end = tile.sequence.End(lastRow);
    if (begin >= end) return;
    tile.firstKey = begin / FRACTAL * FRACTAL;
    tile.endKey = end;
    tile.steps = CeilDiv(tile.endKey - tile.firstKey, tiling_->stepColumns);
  }

  // Leaves the keys from block `begin` to block `end` (0: all) of a tile that is cut there.
  __aicore__ inline void Restrict(Tile& tile, uint32_t begin, uint32_t end) const {
    if (begin == 0 && end == 0) return;
    tile.part = begin > 0 ? PartOfContinuation(group_) : PartOfBeginning(group_);
    SetBlocks(tile, begin, end);
  }

  // The piece of a tile at which this group's work continues.
  __aicore__ inline void TakePiece(Tile& tile) {
    const uint32_t piece = next_.keyBlock / tiling_->pieceBlocks, pieces = PiecesOf(tile);
    tile.part = PartOfPieces(next_.sequence, next_.tile) + piece;
    SetBlocks(tile, next_.keyBlock, next_.keyBlock + tiling_->pieceBlocks);
    next_.keyBlock += tiling_->pieceBlocks;
    if (piece + 1 < pieces) return;
    ++next_.tile;
    next_.keyBlock = 0;
  }

  __aicore__ inline void SetBlocks(Tile& tile, uint32_t begin, uint32_t end) const {
    tile.continues = begin > 0;
    const uint32_t first = tile.firstKey;
    if (end > 0) tile.endKey = Min(tile.endKey, first + end * SPLIT_KEYS);
    tile.firstKey = Min(tile.endKey, first + begin * SPLIT_KEYS);
    tile.steps = CeilDiv(tile.endKey - tile.firstKey, tiling_->stepColumns);
  }

  const ForwardTiling* tiling_;
  uint32_t group_;
  SequenceReader sequences_;
  WorkStart next_;
  WorkStart end_;
  uint32_t tileNumber_;
  uint32_t steps_;
};

// Where row `row` of a tile begins in a tensor, and the distance to the next row.
__aicore__ inline uint64_t RowOffset(const TensorStrides& strides, const Tile& tile, uint32_t token, uint32_t row) {
  const uint32_t head = tile.rowsAreHeads ? tile.head + row : tile.head;
  if (!tile.rowsAreHeads) token += row;
  return tile.sequence.batch * strides.batch + head * strides.head + token * strides.token;
}
__aicore__ inline uint64_t RowDistance(const TensorStrides& strides, const Tile& tile) {
  return tile.rowsAreHeads ? strides.head : strides.token;
}

// Runs `stages` over the steps of a schedule: Begin(tile) for every tile; Prepare(step) one step before First(step), where
// AHEAD is 1; Second(step) two steps behind First(step), together as Both(step, earlier step).
template <uint32_t AHEAD, typename Stages>
class Pipeline {
 public:
  __aicore__ inline Pipeline(Schedule& schedule, Stages& stages) : schedule_(schedule), stages_(stages) {}

  __aicore__ inline void Run() {
    Tile tile;
    uint32_t count = 0;
    while (schedule_.NextTile(tile)) {
      stages_.Begin(tile);
      for (uint32_t index = 0; index < tile.steps; ++index, ++count) {
        steps_[count % KEPT] = schedule_.StepOf(tile, index);
        stages_.Prepare(steps_[count % KEPT]);
        if (count >= AHEAD) Advance(count - AHEAD);
      }
    }
    for (uint32_t step = count > AHEAD ? count - AHEAD : 0; step < count; ++step) Advance(step);
    for (uint32_t step = count > LAG ? count - LAG : 0; step < count; ++step) stages_.Second(steps_[step % KEPT]);
  }

 private:
  static constexpr uint32_t LAG = PIPELINE_SLOTS - 1;
  static constexpr uint32_t KEPT = PIPELINE_SLOTS + AHEAD;

  __aicore__ inline void Advance(uint32_t step) {
    if (step < LAG) {
      stages_.First(steps_[step % KEPT]);
    } else {
      stages_.Both(steps_[step % KEPT], steps_[(step - LAG) % KEPT]);
    }
  }

  Schedule& schedule_;
  Stages& stages_;
  Step steps_[KEPT];
};

}  // namespace npufa
