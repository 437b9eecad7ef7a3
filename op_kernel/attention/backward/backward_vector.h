// Vector side of the backward pass: turns the scores of a step and the gradients of its probabilities into
// probabilities and score gradients, which the cube multiplies further.
#pragma once

#include "../terms/alibi.h"
#include "../terms/bias.h"
#include "../terms/dropout.h"
#include "../terms/mask.h"
#include "../terms/softcap.h"
#include "backward_arguments.h"
#include "backward_workspace.h"
#include "bias_gradient.h"

namespace npufa {

template <typename T>
class BackwardVector {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const BackwardTiling& tiling, const BackwardArguments& arguments,
                              const BackwardWorkspace<T>& workspace, uint32_t core) {
    forward_ = &tiling.forward;
    workspace_ = &workspace;
    subBlock_ = core % 2;
    const uint32_t floats = forward_->chunkFloats;
    pipe.InitBuffer(scoreQueue_, 2, 2 * floats * sizeof(float));
    pipe.InitBuffer(outQueue_, 3, floats * sizeof(T));
    pipe.InitBuffer(statisticQueue_, 2, 3 * STATISTICS * sizeof(float));
    if (forward_->hasMask) mask_.Init(pipe, *forward_, arguments.mask);
    if (forward_->hasDropout) dropout_.Init(pipe, arguments.dropoutMask, floats);
    if (forward_->hasDropout || forward_->hasSoftcap) pipe.InitBuffer(work_, floats * sizeof(float));
    if (forward_->hasSoftcap) pipe.InitBuffer(slopes_, floats * sizeof(float));
    if (forward_->biasKind >= BIAS_LINEAR) {
      alibi_.Init(pipe, *forward_, arguments.bias, MAX_KEY_BLOCK);
    } else if (forward_->biasKind != BIAS_NONE) {
      bias_.Init(pipe, *forward_, arguments.bias);
    }
    if (forward_->biasKind != BIAS_NONE) biasGradient_.Init(pipe, tiling, workspace, arguments.biasGradient, core);
  }

  __aicore__ inline void Run(BackwardSchedule& schedule) {
    BackwardStep step;
    while (schedule.Next(step)) {
      AscendC::CrossCoreWaitFlag(FLAG_SCORES);
      Process(step);
      AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(FLAG_PROBABILITIES);
    }
  }

 private:
  static constexpr uint32_t MOST_ROWS = BACKWARD_STEP_ROWS / 2;  // of one vector core
  static constexpr uint32_t STATISTICS = MOST_ROWS * STATISTIC_WIDTH;
  static constexpr uint32_t CHUNK_ROWS = 64;

  // The two vector cores of a group share a step's rows.
  __aicore__ inline void Process(const BackwardStep& step) {
    const uint32_t half = Min(AlignUp(CeilDiv(step.Rows(), 2), FLOATS_PER_BLOCK), step.Rows());
    const uint32_t first = subBlock_ == 0 ? 0 : half;
    const uint32_t end = subBlock_ == 0 ? half : step.Rows();
    if (first == end) return;
    AscendC::LocalTensor<float> statistics = LoadStatistics(step, first, end - first);
    const uint32_t pitch = AlignUp(step.Columns(), FLOATS_PER_REPEAT);
    const uint32_t chunkRows = Min(forward_->chunkFloats / pitch / FLOATS_PER_BLOCK * FLOATS_PER_BLOCK, CHUNK_ROWS);
    for (uint32_t row = first; row < end; row += chunkRows) {
      ProcessRows(step, row, Min(chunkRows, end - row), pitch, statistics[(row - first) * STATISTIC_WIDTH]);
    }
    statisticQueue_.FreeTensor(statistics);
  }

  // Maximum, PROBABILITY_SCALE / sum and output . gradient, STATISTICS floats apart: blocks of eight per row.
  __aicore__ inline AscendC::LocalTensor<float> LoadStatistics(const BackwardStep& step, uint32_t row, uint32_t rows) {
    const Tile& tile = step.scores.tile;
    const uint64_t queryRow = workspace_->QueryRow(tile.sequence, tile.head, tile.firstRow + row);
    const uint32_t count = rows * STATISTIC_WIDTH;
    AscendC::LocalTensor<float> statistics = statisticQueue_.AllocTensor<float>();
    LoadRows(statistics, workspace_->Maximum(queryRow), 1, count, count, count);
    LoadRows(statistics[STATISTICS], workspace_->Inverse(queryRow), 1, count, count, count);
    LoadRows(statistics[2 * STATISTICS], workspace_->Delta(queryRow), 1, count, count, count);
    statisticQueue_.EnQue(statistics);
    return statisticQueue_.DeQue<float>();
  }

  __aicore__ inline void ProcessRows(const BackwardStep& step, uint32_t row, uint32_t rows, uint32_t pitch,
                                     const AscendC::LocalTensor<float>& statistics) {
    AscendC::LocalTensor<float> scores = Load(step, row, rows, pitch);
    const AscendC::LocalTensor<float> gradients = scores[forward_->chunkFloats];
    const int32_t count = static_cast<int32_t>(rows * pitch);
    Recompute(scores, step, row, rows, pitch, statistics);
    if (forward_->hasDropout) {
      const AscendC::LocalTensor<float> dropped = work_.Get<float>();
      AscendC::Muls(dropped, scores, 1.0f, count);
      AscendC::Muls(gradients, gradients, forward_->keepScale, count);
      AscendC::PipeBarrier<PIPE_V>();
      Drop(dropped, step, row, rows, pitch);
      Drop(gradients, step, row, rows, pitch);
      Store(dropped, step, false, row, rows, pitch);
    } else {
      Store(scores, step, false, row, rows, pitch);
    }
    SubtractRows(gradients, statistics[2 * STATISTICS], rows, pitch, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(gradients, gradients, scores, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(gradients, gradients, 1.0f / PROBABILITY_SCALE, count);
    AscendC::PipeBarrier<PIPE_V>();
    if (forward_->hasSoftcap) {
      StoreBelowCap(gradients, step, row, rows, pitch);
    } else {
      Store(gradients, step, true, row, rows, pitch);
    }
    if (forward_->biasKind != BIAS_NONE) biasGradient_.Add(gradients, step, row, rows, pitch);
    scoreQueue_.FreeTensor(scores);
  }

  // Scores, and chunkFloats behind them the gradients of the probabilities.
  __aicore__ inline AscendC::LocalTensor<float> Load(const BackwardStep& step, uint32_t row, uint32_t rows,
                                                     uint32_t pitch) {
    const uint32_t columns = step.Columns(), sourcePitch = workspace_->ScorePitch();
    AscendC::LocalTensor<float> tile = scoreQueue_.AllocTensor<float>();
    LoadRows(tile, workspace_->Scores(step.Slot(), false, row), rows, columns, sourcePitch, pitch);
    LoadRows(tile[forward_->chunkFloats], workspace_->Scores(step.Slot(), true, row), rows, columns, sourcePitch,
             pitch);
    scoreQueue_.EnQue(tile);
    tile = scoreQueue_.DeQue<float>();
    ClearTail(tile, columns, rows, pitch);
    ClearTail(tile[forward_->chunkFloats], columns, rows, pitch);
    return tile;
  }

  // Products of queries and keys to PROBABILITY_SCALE times probabilities, before dropout.
  __aicore__ inline void Recompute(const AscendC::LocalTensor<float>& scores, const BackwardStep& step, uint32_t row,
                                   uint32_t rows, uint32_t pitch, const AscendC::LocalTensor<float>& statistics) {
    const int32_t count = static_cast<int32_t>(rows * pitch);
    AscendC::Muls(scores, scores, forward_->scale, count);
    AscendC::PipeBarrier<PIPE_V>();
    if (forward_->hasSoftcap) {
      Softcap<true>(scores, slopes_.Get<float>(), work_.Get<float>(), *forward_, rows * pitch);
    }
    if (forward_->biasKind >= BIAS_LINEAR) {
      alibi_.Apply(scores, step.scores, row, rows, pitch);
    } else if (forward_->biasKind != BIAS_NONE) {
      bias_.Apply(scores, step.scores, row, rows, pitch, forward_->biasScaled ? forward_->scale : 1.0f);
    }
    if (forward_->hasMask) mask_.Apply(scores, step.scores, row, rows, pitch);
    WindowMask(step.scores, row, rows).Apply(scores, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    SubtractRows(scores, statistics, rows, pitch, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Exp(scores, scores, count);
    AscendC::PipeBarrier<PIPE_V>();
    MultiplyRows(scores, statistics[STATISTICS], rows, pitch, pitch);
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Drop(const AscendC::LocalTensor<float>& tile, const BackwardStep& step, uint32_t row,
                              uint32_t rows, uint32_t pitch) {
    const Tile& queries = step.scores.tile;
    const Sequence& s = queries.sequence;
    const uint64_t scoreRow = static_cast<uint64_t>(queries.head) * s.scoreRows + queries.firstRow + row;
    dropout_.Apply(tile, s.firstScore + scoreRow * s.scoreColumns + step.scores.firstKey, s.scoreColumns, rows,
                   step.Columns(), pitch);
  }

  // Gradients of the scores before they were capped; the bias has those behind.
  __aicore__ inline void StoreBelowCap(const AscendC::LocalTensor<float>& gradients, const BackwardStep& step,
                                       uint32_t row, uint32_t rows, uint32_t pitch) {
    const AscendC::LocalTensor<float> slopes = slopes_.Get<float>();
    AscendC::Mul(slopes, slopes, gradients, static_cast<int32_t>(rows * pitch));
    AscendC::PipeBarrier<PIPE_V>();
    Store(slopes, step, true, row, rows, pitch);
  }

  __aicore__ inline void Store(const AscendC::LocalTensor<float>& tile, const BackwardStep& step, bool gradient,
                               uint32_t row, uint32_t rows, uint32_t pitch) {
    AscendC::LocalTensor<T> out = outQueue_.template AllocTensor<T>();
    Narrow(out, tile, rows * pitch);
    outQueue_.EnQue(out);
    out = outQueue_.template DeQue<T>();
    StoreRows(workspace_->Narrow(step.Slot(), gradient, row), out, rows, step.Columns(), workspace_->NarrowPitch(),
              pitch);
    outQueue_.FreeTensor(out);
  }

  const ForwardTiling* forward_;
  const BackwardWorkspace<T>* workspace_;
  uint32_t subBlock_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> scoreQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> statisticQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> work_;    // of capping, and then of dropout
  AscendC::TBuf<AscendC::TPosition::VECCALC> slopes_;  // of capping
  DenseMask mask_;
  Bias<T> bias_;
  Alibi alibi_;
  Dropout dropout_;
  BiasGradient<T> biasGradient_;
};

}  // namespace npufa
