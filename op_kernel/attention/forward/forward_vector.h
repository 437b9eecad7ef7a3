// Vector side of the forward pipeline: probabilities of a step, and two steps later its share of the output.
#pragma once

#include "../softmax/accumulator.h"
#include "../terms/alibi.h"
#include "../terms/bias.h"
#include "../terms/dropout.h"
#include "../terms/mask.h"
#include "../terms/query_scale.h"
#include "../terms/softcap.h"
#include "preparation.h"
#include "scaled_queries.h"

namespace npufa {

struct VectorArguments {
  GM_ADDR bias;
  GM_ADDR mask;
  GM_ADDR dropoutMask;
  GM_ADDR dequantScale;  // of int8 products of query and key
  GM_ADDR quantScale;    // of probabilities
  GM_ADDR queryScale;    // the query's part of dequantScale, per row
  OutputArguments output;
  StoredArguments stored;
};

template <typename T, typename Stored>
class ForwardVector {
 public:
  using C = typename CubeOperand<T, Stored>::Type;
  static constexpr bool DIGITAL = SameType<Stored, Int8Digits>::value;
  static constexpr bool SCALES_APART = ScalesApart<Stored>::value;
  static constexpr bool CONVERTS = !DIGITAL && !SameType<T, Stored>::value;

  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, const VectorArguments& arguments,
                              const Workspace<T, Stored>& workspace, uint32_t subBlock) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    subBlock_ = subBlock;
    // In this order, and before buffers of odd sizes, instructions of the preparation find their operands in other banks.
    pipe.InitBuffer(outQueue_, 2, tiling.chunkFloats * sizeof(T));
    pipe.InitBuffer(inQueue_, 2, tiling.chunkFloats * sizeof(float));
    if constexpr (CONVERTS) preparation_.Init(pipe, tiling, arguments.stored, workspace, outQueue_, reader_, subBlock);
    softmax_.Init(pipe, tiling.chunkFloats);
    if (tiling.hasSoftcap) pipe.InitBuffer(softcap_, SoftcapScratch(tiling) * sizeof(float));
    reader_.Init(pipe, NumberCapacity(tiling));
    output_.Init(pipe, tiling, arguments.output, outQueue_, reader_);
    accumulator_.Init(pipe, tiling, workspace, inQueue_, outQueue_, output_);
    if (tiling.hasMask) mask_.Init(pipe, tiling, arguments.mask);
    if (tiling.hasDropout) dropout_.Init(pipe, arguments.dropoutMask, tiling.chunkFloats);
    if (tiling.biasKind >= BIAS_LINEAR) {
      alibi_.Init(pipe, tiling, arguments.bias, tiling.stepColumns);
    } else if (tiling.biasKind != BIAS_NONE) {
      bias_.Init(pipe, tiling, arguments.bias);
    }
    scale_ = tiling.scale;
    if (tiling.int8Products) {
      scale_ *= ScalarOf(arguments.dequantScale);
      if (tiling.hasQueryScale) {
        queryScale_.Init(pipe, tiling, arguments.queryScale);
      } else {
        probabilityScale_ = ScalarOf(arguments.quantScale);
      }
    }
    if constexpr (SCALES_APART) {
      queries_.Init(pipe, tiling, arguments.stored.query, arguments.stored.keyAntiquant, workspace, inQueue_, outQueue_,
                    reader_);
    }
  }

  // Rows without keys are stored at once.
  __aicore__ inline void Begin(const Tile& tile) {
    if (tile.part != WHOLE_TILE && tile.steps == 0) {
      accumulator_.StoreEmptyPart(tile, FirstRow(tile), RowCount(tile));
    }
    if (tile.continues) return;
    const uint32_t first = tile.steps == 0 && tile.part == WHOLE_TILE ? 0 : tile.rows;
    const uint32_t middle = first + (tile.storedRows - first) / 2;
    output_.StoreEmpty(tile, subBlock_ == 0 ? first : middle, subBlock_ == 0 ? middle : tile.storedRows);
  }

  __aicore__ inline void Prepare(const Step& step) {
    if constexpr (SCALES_APART) {
      if (step.IsFirst()) queries_.Run(step, FirstRow(step.tile), RowCount(step.tile));
    }
    if constexpr (CONVERTS) preparation_.Run(step);
    if (CONVERTS || (DIGITAL && step.IsFirst())) AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(FLAG_KEYS);
  }

  __aicore__ inline void First(const Step& step) {
    AscendC::CrossCoreWaitFlag(FLAG_SCORES);
    const uint32_t rows = RowCount(step.tile);
    const uint32_t pitch = RowPitch(step.columns);
    if (tiling_->hasQueryScale && step.IsFirst()) queryScale_.Load(step.tile, FirstRow(step.tile), rows);
    const uint32_t chunkRows = Min(tiling_->chunkFloats / pitch / FLOATS_PER_BLOCK * FLOATS_PER_BLOCK, MAX_CORE_ROWS);
    for (uint32_t row = 0; row < rows; row += chunkRows) {
      ScoresToProbabilities(step, row, Min(chunkRows, rows - row), pitch);
    }
    AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(FLAG_PROBABILITIES);
  }

  __aicore__ inline void Both(const Step& first, const Step& second) {
    First(first);
    Second(second);
  }

  __aicore__ inline void Second(const Step& step) {
    AscendC::CrossCoreWaitFlag(FLAG_PRODUCTS);
    accumulator_.Add(step, FirstRow(step.tile), RowCount(step.tile), softmax_);
  }

 private:
  static constexpr float MAX_INT8_PROBABILITY = 127.0f;
  static constexpr float MIN_INT8_PROBABILITY = -128.0f;

  // The two vector cores of a group share a tile's rows.
  __aicore__ inline static uint32_t Half(const Tile& tile) { return CeilDiv(tile.rows, VECTORS_PER_CUBE); }
  __aicore__ inline uint32_t FirstRow(const Tile& tile) const { return subBlock_ == 0 ? 0 : Half(tile); }
  __aicore__ inline uint32_t RowCount(const Tile& tile) const {
    return subBlock_ == 0 ? Half(tile) : tile.rows - Half(tile);
  }

  __aicore__ inline void ScoresToProbabilities(const Step& step, uint32_t row, uint32_t rows, uint32_t pitch) {
    const uint32_t tileRow = FirstRow(step.tile) + row;
    AscendC::LocalTensor<float> scores = LoadScores(step, tileRow, rows, pitch);
    if constexpr (DIGITAL) {
      for (uint32_t digit = 1; digit < DIGITS; ++digit) {
        AscendC::LocalTensor<float> next = LoadScores(step, digit * step.tile.rows + tileRow, rows, pitch);
        AddDigitProducts(scores, next, digit, step.columns, rows, pitch);
        inQueue_.FreeTensor(next);
      }
    }
    if constexpr (SCALES_APART) queries_.Apply(scores, step.tileNumber, row, rows, step.columns, pitch);
    ClearTail(scores, step.columns, rows, pitch);
    AscendC::Muls(scores, scores, scale_, static_cast<int32_t>(rows * pitch));
    AscendC::PipeBarrier<PIPE_V>();
    if (tiling_->hasQueryScale) queryScale_.Apply(scores, row, rows, step.columns, pitch);
    if (tiling_->hasSoftcap) Softcap<false>(scores, scores, softcap_.Get<float>(), *tiling_, rows * pitch);
    AddBias(scores, step, tileRow, rows, pitch);
    if (tiling_->hasMask) mask_.Apply(scores, step, tileRow, rows, pitch);
    WindowMask(step, tileRow, rows).Apply(scores, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    softmax_.Update(scores, row, rows, pitch, step.IsFirst(), step.tileNumber, step.Slot());
    if (tiling_->hasDropout) Drop(scores, step, tileRow, rows, pitch);
    if (tiling_->int8Products && !tiling_->hasQueryScale) Quantise(scores, rows * pitch);
    if constexpr (DIGITAL) {
      StoreDigits(step, tileRow, rows, scores, pitch);
      inQueue_.FreeTensor(scores);
    } else {
      AscendC::LocalTensor<C> probabilities = outQueue_.AllocTensor<C>();
      Narrow(probabilities, scores, rows * pitch);
      inQueue_.FreeTensor(scores);
      StoreProbabilities(step, tileRow, rows, probabilities, pitch);
    }
  }

  __aicore__ inline void StoreProbabilities(const Step& step, uint32_t row, uint32_t rows,
                                            AscendC::LocalTensor<C>& probabilities, uint32_t pitch) {
    outQueue_.EnQue(probabilities);
    probabilities = outQueue_.DeQue<C>();
    StoreRows(workspace_->Probabilities(step.Slot(), row), probabilities, rows, step.columns, workspace_->ScorePitch(),
              pitch);
    outQueue_.FreeTensor(probabilities);
  }

  // Rows of the workspace; products of the first digit as float already.
  __aicore__ inline AscendC::LocalTensor<float> LoadScores(const Step& step, uint32_t row, uint32_t rows,
                                                           uint32_t pitch) {
    AscendC::LocalTensor<float> scores = inQueue_.AllocTensor<float>();
    LoadRows(scores, workspace_->Scores(step.Slot(), row), rows, step.columns, workspace_->ScorePitch(), pitch);
    inQueue_.EnQue(scores);
    scores = inQueue_.DeQue<float>();
    if constexpr (DIGITAL) {
      if (row < step.tile.rows) AddDigitProducts(scores, scores, 0, step.columns, rows, pitch);
    }
    return scores;
  }

  __aicore__ inline void StoreDigits(const Step& step, uint32_t row, uint32_t rows,
                                     const AscendC::LocalTensor<float>& probabilities, uint32_t pitch) {
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(probabilities, probabilities, DIGIT_MOST, static_cast<int32_t>(rows * pitch));
    AscendC::PipeBarrier<PIPE_V>();
    for (uint32_t digit = 0; digit < DIGITS; ++digit) {
      AscendC::LocalTensor<int8_t> out = outQueue_.AllocTensor<int8_t>();
      TakeDigit(out, probabilities, queries_.Rounded(), queries_.Halves(), rows * pitch);
      StoreProbabilities(step, digit * step.tile.rows + row, rows, out, pitch);
    }
  }

  __aicore__ inline void AddBias(const AscendC::LocalTensor<float>& scores, const Step& step, uint32_t row,
                                 uint32_t rows, uint32_t pitch) {
    if (tiling_->biasKind == BIAS_NONE) return;
    if (tiling_->biasKind >= BIAS_LINEAR) {
      alibi_.Apply(scores, step, row, rows, pitch);
    } else {
      bias_.Apply(scores, step, row, rows, pitch, tiling_->biasScaled ? tiling_->scale : 1.0f);
    }
  }

  __aicore__ inline void Drop(const AscendC::LocalTensor<float>& probabilities, const Step& step, uint32_t row,
                              uint32_t rows, uint32_t pitch) {
    const Tile& tile = step.tile;
    const Sequence& s = tile.sequence;
    const uint64_t head = tile.head + (tile.rowsAreHeads ? row : 0);
    const uint64_t token = tile.firstRow + (tile.rowsAreHeads ? 0 : row);
    const uint64_t firstBit = s.firstScore + (head * s.scoreRows + token) * s.scoreColumns + step.firstKey;
    const uint64_t distance = tile.rowsAreHeads ? s.scoreRows * s.scoreColumns : s.scoreColumns;
    AscendC::PipeBarrier<PIPE_V>();
    dropout_.Apply(probabilities, firstBit, distance, rows, step.columns, pitch);
  }

  // clamp(round(p * scale))
  __aicore__ inline void Quantise(const AscendC::LocalTensor<float>& probabilities, uint32_t floats) {
    const int32_t count = static_cast<int32_t>(floats);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(probabilities, probabilities, probabilityScale_, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Cast(probabilities, probabilities, AscendC::RoundMode::CAST_RINT, floats);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mins(probabilities, probabilities, MAX_INT8_PROBABILITY, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Maxs(probabilities, probabilities, MIN_INT8_PROBABILITY, count);
    AscendC::PipeBarrier<PIPE_V>();
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

  const ForwardTiling* tiling_;
  const Workspace<T, Stored>* workspace_;
  uint32_t subBlock_;
  float scale_;
  float probabilityScale_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> inQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue_;
  NumberReader reader_;
  OnlineSoftmax softmax_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> softcap_;
  RowOutput<T, Stored> output_;
  Accumulator<T, Stored> accumulator_;
  DenseMask mask_;
  Bias<T> bias_;
  Alibi alibi_;
  Dropout dropout_;
  Preparation<C, Stored> preparation_;
  ScaledQueries<T, Stored> queries_;
  QueryScale queryScale_;
};

}  // namespace npufa
