// Vector side of the forward pipeline: probabilities of a step, and two steps later its share of the output.
#pragma once

#include "accumulator.h"
#include "additions.h"
#include "schedule.h"
#include "softmax.h"
#include "workspace.h"

namespace npufa {

template <typename T, bool hasMask, bool hasBias>
class ForwardVector {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR bias, GM_ADDR mask,
                              GM_ADDR output, const GroupWorkspace<T>& workspace, uint32_t subBlock) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    subBlock_ = subBlock;
    // Output rows wider than a cube block take the memory of larger chunks.
    chunkFloats_ = tiling.valueDim <= CUBE_BLOCK ? LARGE_CHUNK_FLOATS : SMALL_CHUNK_FLOATS;
    pipe.InitBuffer(inQueue_, 2, chunkFloats_ * sizeof(float));
    pipe.InitBuffer(outQueue_, 2, chunkFloats_ * sizeof(T));
    softmax_.Init(pipe, chunkFloats_);
    accumulator_.Init(pipe, tiling, output, inQueue_, outQueue_, chunkFloats_);
    if constexpr (hasMask) mask_.Init(pipe, tiling, mask, chunkFloats_);
    if constexpr (hasBias) bias_.Init(pipe, tiling, bias, chunkFloats_);
  }

  // Rows without keys are stored at once.
  __aicore__ inline void Begin(const Tile& tile) {
    const uint32_t first = tile.steps == 0 ? 0 : tile.rows;
    const uint32_t middle = first + (tile.storedRows - first) / 2;
    accumulator_.StoreZeros(tile, subBlock_ == 0 ? first : middle, subBlock_ == 0 ? middle : tile.storedRows);
  }

  __aicore__ inline void First(const Step& step, uint32_t slot) {
    AscendC::CrossCoreWaitFlag(FLAG_SCORES);
    const uint32_t rows = RowCount(step.tile);
    const uint32_t pitch = RowPitch(step.columns);
    const uint32_t chunkRows = Min(chunkFloats_ / pitch / FLOATS_PER_BLOCK * FLOATS_PER_BLOCK, MAX_CORE_ROWS);
    for (uint32_t row = 0; row < rows; row += chunkRows) {
      ScoresToProbabilities(step, slot, row, Min(chunkRows, rows - row), pitch);
    }
    AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(FLAG_PROBABILITIES);
  }

  __aicore__ inline void Both(const Step& first, uint32_t firstSlot, const Step& second, uint32_t secondSlot) {
    First(first, firstSlot);
    Second(second, secondSlot);
  }

  __aicore__ inline void Second(const Step& step, uint32_t slot) {
    AscendC::CrossCoreWaitFlag(FLAG_PRODUCTS);
    accumulator_.Add(step, slot, FirstRow(step.tile), RowCount(step.tile), *workspace_, softmax_);
  }

 private:
  static constexpr uint32_t LARGE_CHUNK_FLOATS = 8192;
  static constexpr uint32_t SMALL_CHUNK_FLOATS = 4096;

  // The two vector cores of a group share a tile's rows.
  __aicore__ inline uint32_t Half(const Tile& tile) const {
    return Min(AlignUp(CeilDiv(tile.rows, 2), FLOATS_PER_BLOCK), tile.rows);
  }
  __aicore__ inline uint32_t FirstRow(const Tile& tile) const { return subBlock_ == 0 ? 0 : Half(tile); }
  __aicore__ inline uint32_t RowCount(const Tile& tile) const {
    return subBlock_ == 0 ? Half(tile) : tile.rows - Half(tile);
  }

  __aicore__ inline void ScoresToProbabilities(const Step& step, uint32_t slot, uint32_t row, uint32_t rows,
                                               uint32_t pitch) {
    const uint32_t tileRow = FirstRow(step.tile) + row;
    AscendC::LocalTensor<float> scores = inQueue_.AllocTensor<float>();
    LoadRows(scores, workspace_->Scores(slot, tileRow), rows, step.columns, workspace_->ScorePitch(), pitch);
    inQueue_.EnQue(scores);
    scores = inQueue_.DeQue<float>();
    ClearTail(scores, step.columns, rows, pitch);
    AscendC::Muls(scores, scores, tiling_->scale, rows * pitch);
    AscendC::PipeBarrier<PIPE_V>();
    if constexpr (hasBias) bias_.Apply(scores, step, tileRow, rows, pitch);
    if constexpr (hasMask) mask_.Apply(scores, step, tileRow, rows, pitch);
    WindowMask(step, tileRow, rows).Apply(scores, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    softmax_.Update(scores, row, rows, pitch, step.IsFirst(), step.tileNumber, slot);
    AscendC::LocalTensor<T> probabilities = outQueue_.AllocTensor<T>();
    AscendC::Cast(probabilities, scores, AscendC::RoundMode::CAST_RINT, rows * pitch);
    inQueue_.FreeTensor(scores);
    outQueue_.EnQue(probabilities);
    StoreProbabilities(workspace_->Probabilities(slot, tileRow), rows, step.columns, pitch);
  }

  // The copy in leaves columns beyond its last block untouched.
  __aicore__ inline static void ClearTail(const AscendC::LocalTensor<float>& scores, uint32_t columns, uint32_t rows,
                                          uint32_t pitch) {
    if (columns == pitch) return;
    for (uint32_t word = columns / FLOATS_PER_REPEAT * FLOATS_PER_REPEAT; word < pitch; word += FLOATS_PER_REPEAT) {
      const uint32_t used = columns > word ? columns - word : 0;
      FillBits(scores[word], 0.0f, BitRange(used, FLOATS_PER_REPEAT), rows, pitch);
    }
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void StoreProbabilities(const AscendC::GlobalTensor<T>& target, uint32_t rows, uint32_t columns,
                                            uint32_t pitch) {
    AscendC::LocalTensor<T> probabilities = outQueue_.DeQue<T>();
    const AscendC::DataCopyExtParams params(
        static_cast<uint16_t>(rows), columns * sizeof(T), (pitch - AlignUp(columns, FRACTAL)) / FRACTAL,
        static_cast<uint32_t>((workspace_->ScorePitch() - columns) * sizeof(T)), 0);
    AscendC::DataCopyPad(target, probabilities, params);
    outQueue_.FreeTensor(probabilities);
  }

  const ForwardTiling* tiling_;
  const GroupWorkspace<T>* workspace_;
  uint32_t subBlock_;
  uint32_t chunkFloats_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> inQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue_;
  OnlineSoftmax softmax_;
  Accumulator<T> accumulator_;
  DenseMask mask_;
  Bias<T> bias_;
};

}  // namespace npufa
