// Merges the parts of tiles that were cut (Flash-Decoding): rows spread over all vector cores.
#pragma once

#include "../call/workspace.h"
#include "row_output.h"

namespace npufa {

template <typename T, typename Stored>
class Combine {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, const SequenceArguments& sequences,
                              const Workspace<T, Stored>& workspace, RowOutput<T, Stored>& output) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    rowOutput_ = &output;
    pitch_ = output.Pitch();
    schedule_.Init(tiling, sequences, 0);
    pipe.InitBuffer(inQueue_, LOADED_PARTS, (ROWS * pitch_ + 2 * ROWS) * sizeof(float));
    pipe.InitBuffer(sums_, ROWS * pitch_ * sizeof(float));
    pipe.InitBuffer(vectors_, VECTORS * FLOATS_PER_BLOCK * sizeof(float));
    pipe.InitBuffer(blocks_, 2 * ROWS * BLOCK_BYTES);
  }

  // The share of vector core `core` of `cores`. Waits for the others once it has found what to do.
  __aicore__ inline void Run(uint32_t core, uint32_t cores) {
    core_ = core;
    cores_ = cores;
    turn_ = 0;
    synchronised_ = false;
    if (tiling_->batchInvariant) {
      MergePieces();
    } else {
      MergeCuts();
    }
    Synchronise();
  }

 private:
  static constexpr uint32_t ROWS = FLOATS_PER_BLOCK;
  static constexpr uint32_t LOADED_PARTS = 2;  // the next part comes while one is added
  static constexpr uint32_t MAXIMUM = 0;
  static constexpr uint32_t SUM = 1;
  static constexpr uint32_t OLD = 2;
  static constexpr uint32_t NEW = 3;
  static constexpr uint32_t VECTORS = 4;

  // One part, and `others` more from `next` on, `distance` apart.
  struct Parts {
    uint32_t first;
    uint32_t next;
    uint32_t others;
    uint32_t distance;
  };

  __aicore__ inline void MergePieces() {
    for (uint32_t sequence = 0; sequence < schedule_.Sequences(); ++sequence) {
      if (!schedule_.HasPieces(sequence)) continue;
      const uint32_t tiles = schedule_.Heads(sequence) * schedule_.TilesPerHead(sequence);
      for (uint32_t index = 0; index < tiles; ++index) {
        Tile tile;
        schedule_.LoadTile(tile, sequence, index);
        const uint32_t pieces = schedule_.PiecesOf(tile), first = schedule_.PartOfPieces(sequence, index);
        if (pieces > 1) MergeTile(tile, {first, first + 1, pieces - 1, 1});
      }
    }
  }

  // The end of a group's work, and the beginnings of those that follow, where a tile is cut between groups.
  __aicore__ inline void MergeCuts() {
    for (uint32_t group = 1; group < tiling_->cores; ++group) {
      if (!Continues(group) || (Continues(group - 1) && SameTile(group - 1, group))) continue;
      Tile tile;
      schedule_.LoadTile(tile, tiling_->start[group].sequence, tiling_->start[group].tile);
      uint32_t end = group + 1;
      while (end < tiling_->cores && Continues(end) && SameTile(group, end)) ++end;
      MergeTile(tile, {PartOfBeginning(group - 1), PartOfContinuation(group), end - group,
                       PartOfContinuation(1) - PartOfContinuation(0)});
    }
  }

  __aicore__ inline void MergeTile(const Tile& tile, const Parts& parts) {
    for (uint32_t row = 0; row < tile.rows; row += ROWS, ++turn_) {
      if (turn_ % cores_ == core_) Merge(tile, row, Min(ROWS, tile.rows - row), parts);
    }
  }

  __aicore__ inline void Synchronise() {
    if (!synchronised_) AscendC::SyncAll();
    synchronised_ = true;
  }

  // Whether a group's work begins within a tile.
  __aicore__ inline bool Continues(uint32_t group) const { return tiling_->start[group].keyBlock > 0; }
  __aicore__ inline bool SameTile(uint32_t a, uint32_t b) const {
    return tiling_->start[a].sequence == tiling_->start[b].sequence && tiling_->start[a].tile == tiling_->start[b].tile;
  }

  __aicore__ inline void Merge(const Tile& tile, uint32_t row, uint32_t rows, const Parts& parts) {
    Synchronise();
    LoadPart(workspace_->Part(parts.first, row), rows);
    for (uint32_t i = 0; i <= parts.others; ++i) {
      if (i < parts.others) LoadPart(workspace_->Part(parts.next + i * parts.distance, row), rows);
      AddPart(rows, i == 0);
    }
    rowOutput_->Store(tile, row, rows, sums_.Get<float>(), Vector(MAXIMUM), Vector(SUM));
  }

  // Sums, and behind them maxima and softmax sums.
  __aicore__ inline void LoadPart(const PartialRows& part, uint32_t rows) {
    const AscendC::LocalTensor<float> loaded = inQueue_.template AllocTensor<float>();
    const AscendC::LocalTensor<float> vectors = loaded[ROWS * pitch_];
    LoadRows(vectors, part.maximum, 1, rows, rows, ROWS);
    LoadRows(vectors[ROWS], part.sum, 1, rows, rows, ROWS);
    LoadRows(loaded, part.sums, rows, tiling_->valueDim, tiling_->productPitch, pitch_);
    inQueue_.EnQue(loaded);
  }

  __aicore__ inline void AddPart(uint32_t rows, bool first) {
    const int32_t count = static_cast<int32_t>(ROWS);
    AscendC::LocalTensor<float> loaded = inQueue_.template DeQue<float>();
    const AscendC::LocalTensor<float> vectors = loaded[ROWS * pitch_];
    const AscendC::LocalTensor<float> maximum = Vector(MAXIMUM), sum = Vector(SUM);
    const AscendC::LocalTensor<float> old = Vector(OLD), added = Vector(NEW);
    if (first) {
      AscendC::Muls(maximum, vectors, 1.0f, count);
      AscendC::Muls(sum, vectors[ROWS], 1.0f, count);
      NarrowRows(sums_.Get<float>(), loaded, rows, tiling_->valueDim, pitch_);
      AscendC::PipeBarrier<PIPE_V>();
      inQueue_.FreeTensor(loaded);
      return;
    }
    AscendC::Max(added, maximum, vectors, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Sub(old, maximum, added, count);
    AscendC::Muls(maximum, added, 1.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Sub(added, vectors, maximum, count);
    AscendC::Exp(old, old, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Exp(added, added, count);
    AscendC::Mul(sum, sum, old, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(vectors[ROWS], vectors[ROWS], added, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(sum, sum, vectors[ROWS], count);
    AscendC::PipeBarrier<PIPE_V>();
    AddSums(loaded, rows);
    inQueue_.FreeTensor(loaded);
  }

  // sums = sums * old + part * new
  __aicore__ inline void AddSums(const AscendC::LocalTensor<float>& products, uint32_t rows) {
    const uint32_t columns = tiling_->valueDim;
    const AscendC::LocalTensor<float> sums = sums_.Get<float>();
    const AscendC::LocalTensor<float> oldBlocks = blocks_.Get<float>(), newBlocks = oldBlocks[ROWS * FLOATS_PER_BLOCK];
    BroadcastRows(oldBlocks, Vector(OLD), rows);
    BroadcastRows(newBlocks, Vector(NEW), rows);
    AscendC::PipeBarrier<PIPE_V>();
    MultiplyRows(sums, oldBlocks, rows, columns, pitch_);
    MultiplyRows(products, newBlocks, rows, columns, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    const uint8_t stride = static_cast<uint8_t>(pitch_ / FLOATS_PER_BLOCK);
    const AscendC::BinaryRepeatParams params(1, 1, 1, stride, stride, stride);
    for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
      AscendC::Add(sums[word], sums[word], products[word], WordWidth(columns, word), static_cast<uint8_t>(rows),
                   params);
    }
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline AscendC::LocalTensor<float> Vector(uint32_t which) {
    return vectors_.Get<float>()[which * FLOATS_PER_BLOCK];
  }

  const ForwardTiling* tiling_;
  const Workspace<T, Stored>* workspace_;
  RowOutput<T, Stored>* rowOutput_;
  Schedule schedule_;
  AscendC::TQue<AscendC::TPosition::VECIN, LOADED_PARTS> inQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> sums_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> vectors_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> blocks_;
  uint32_t pitch_;
  uint32_t core_;
  uint32_t cores_;
  uint32_t turn_;
  bool synchronised_;
};

}  // namespace npufa
