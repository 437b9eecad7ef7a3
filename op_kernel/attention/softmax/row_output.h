// Finished rows of one vector core: normalisation, quantisation, store, together with their statistics.
#pragma once

#include "../stored/antiquant_scales.h"
#include "../stored/digits.h"
#include "../stored/float8.h"
#include "row_statistics.h"

namespace npufa {

struct OutputArguments {
  GM_ADDR output;
  GM_ADDR softmaxMax;
  GM_ADDR softmaxSum;
  GM_ADDR softmaxLse;
  GM_ADDR sink;
  GM_ADDR scale;  // of an int8 output
  GM_ADDR offset;
  GM_ADDR dequantScale;               // of int8 products
  AntiquantArguments valueAntiquant;  // applied to the output where scales are apart
};

// One float, or the low half of a 64-bit integer that holds its bits.
__aicore__ inline float ScalarOf(GM_ADDR address) {
  AscendC::GlobalTensor<float> tensor;
  tensor.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(address));
  return tensor.GetValue(0);
}

template <typename T, typename Stored>
class RowOutput {
 public:
  using OutQueue = AscendC::TQue<AscendC::TPosition::VECOUT, 1>;

  // `outQueue` holds tiles of chunkFloats elements of T, `reader` rows of valueDim numbers.
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, const OutputArguments& arguments,
                              OutQueue& outQueue, NumberReader& reader) {
    tiling_ = &tiling;
    reader_ = &reader;
    arguments_ = arguments;
    outQueue_ = &outQueue;
    pitch_ = AlignUp(tiling.valueDim, FLOATS_PER_REPEAT);
    factor_ = tiling.keepScale;
    if (tiling.int8Products) factor_ *= ScalarOf(arguments.dequantScale);
    if constexpr (SameType<Stored, Int8Digits>::value) factor_ /= DIGIT_MOST;
    if constexpr (SCALES_APART) {
      factor_ *= Float8Unit(tiling);
      valueScales_.Init(pipe, tiling.valueAntiquant, arguments.valueAntiquant, tiling.valueDim, nullptr, reader);
    }
    statistics_.Init(pipe, tiling, arguments.softmaxMax, arguments.softmaxSum, arguments.softmaxLse, arguments.sink,
                     reader);
    if (tiling.outputScale.kind == SCALE_NONE) return;
    pipe.InitBuffer(scales_, 2 * pitch_ * sizeof(float));
    pipe.InitBuffer(halves_, tiling.chunkFloats * sizeof(half));
  }

  // Floats between rows of sums.
  __aicore__ inline uint32_t Pitch() const { return pitch_; }

  // Rows [row, row + rows) of a tile: sums of products (overwritten), softmax maxima and sums.
  __aicore__ inline void Store(const Tile& tile, uint32_t row, uint32_t rows, const AscendC::LocalTensor<float>& sums,
                               const AscendC::LocalTensor<float>& maximum, const AscendC::LocalTensor<float>& sum) {
    const uint32_t token = FirstToken(tile, row);
    statistics_.Load(maximum, sum, rows);
    if (tiling_->hasSink) {
      MultiplyRows(sums, statistics_.AddSink(tile, row, rows), rows, tiling_->valueDim, pitch_);
      AscendC::PipeBarrier<PIPE_V>();
    }
    statistics_.Store(tile, token, row, rows, *outQueue_);
    DivideRows(sums, statistics_.Divisors(rows), rows, tiling_->valueDim, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    if (factor_ != 1.0f) {
      MultiplyAll(sums, factor_, rows, tiling_->valueDim, pitch_);
      AscendC::PipeBarrier<PIPE_V>();
    }
    if constexpr (SCALES_APART) {
      valueScales_.Apply(sums, tile.sequence, tile.head / tiling_->sequences.groupSize, 0, rows, pitch_);
      if (tiling_->valueAntiquant.hasOffset) {
        MultiplyRows(sums, statistics_.Validity(rows), rows, tiling_->valueDim, pitch_);
        AscendC::PipeBarrier<PIPE_V>();
      }
    }
    if (tiling_->outputScale.kind == SCALE_NONE) {
      StoreNumbers(tile, token, row, rows, sums);
    } else {
      StoreQuantised(tile, token, row, rows, sums);
    }
  }

  // Rows [begin, end) of a tile that have no keys.
  __aicore__ inline void StoreEmpty(const Tile& tile, uint32_t begin, uint32_t end) {
    const uint32_t chunk = Min(tiling_->chunkFloats / pitch_, MAX_CORE_ROWS);
    for (uint32_t row = begin; row < end;) {
      const uint32_t token = FirstToken(tile, row);
      uint32_t rows = Min(chunk, end - row);
      // Behind the last stored token of a left-padded sequence come those before its first.
      const uint32_t stored = token + (tile.rowsAreHeads ? 0 : row);
      if (!tile.rowsAreHeads && tiling_->sequences.leftPaddedQuery) {
        rows = Min(rows, tiling_->sequences.qTokens - stored);
      }
      statistics_.LoadEmpty();
      statistics_.Store(tile, token, row, rows, *outQueue_);
      StoreZeros(tile, token, row, rows);
      row += rows;
    }
  }

 private:
  static constexpr bool SCALES_APART = ScalesApart<Stored>::value;
  static constexpr float INT8_MIN_VALUE = -128.0f;
  static constexpr float INT8_MAX_VALUE = 127.0f;

  // The stored token of row 0 of a tile as it counts for row `row`.
  __aicore__ inline uint32_t FirstToken(const Tile& tile, uint32_t row) const {
    const uint32_t token = tile.sequence.qFirst + tile.firstRow;
    const bool wraps =
        tiling_->sequences.leftPaddedQuery && token + (tile.rowsAreHeads ? 0 : row) >= tiling_->sequences.qTokens;
    return wraps ? token - tiling_->sequences.qTokens : token;
  }

  __aicore__ inline void StoreNumbers(const Tile& tile, uint32_t token, uint32_t row, uint32_t rows,
                                      const AscendC::LocalTensor<float>& sums) {
    AscendC::LocalTensor<T> out = outQueue_->template AllocTensor<T>();
    NarrowRows(out, sums, rows, tiling_->valueDim, pitch_);
    Write<T>(out, tile, token, row, rows);
  }

  // clamp(round(value * scale + offset)); rows without keys stay 0.
  __aicore__ inline void StoreQuantised(const Tile& tile, uint32_t token, uint32_t row, uint32_t rows,
                                        const AscendC::LocalTensor<float>& sums) {
    const uint32_t columns = tiling_->valueDim;
    if (tile.rowsAreHeads && tiling_->outputScale.kind == SCALE_PER_CHANNEL) {
      for (uint32_t r = 0; r < rows; ++r) ApplyScale(sums[r * pitch_], tile.head + row + r, 1);
    } else {
      ApplyScale(sums, tile.head, rows);
    }
    if (tiling_->outputScale.hasOffset) {
      MultiplyRows(sums, statistics_.Validity(rows), rows, columns, pitch_);
      AscendC::PipeBarrier<PIPE_V>();
    }
    const AscendC::UnaryRepeatParams same = RowParams(pitch_);
    const AscendC::UnaryRepeatParams toHalf(1, 1, static_cast<uint8_t>(pitch_ / FRACTAL),
                                            static_cast<uint8_t>(pitch_ / FLOATS_PER_BLOCK));
    const AscendC::UnaryRepeatParams toInt8(1, 1, static_cast<uint8_t>(pitch_ / BLOCK_BYTES),
                                            static_cast<uint8_t>(pitch_ / FRACTAL));
    const uint8_t repeats = static_cast<uint8_t>(rows);
    const AscendC::LocalTensor<half> halves = halves_.Get<half>();
    AscendC::LocalTensor<int8_t> out = outQueue_->template AllocTensor<int8_t>();
    for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
      const uint64_t width = WordWidth(columns, word);
      AscendC::Maxs(sums[word], sums[word], INT8_MIN_VALUE, width, repeats, same);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Mins(sums[word], sums[word], INT8_MAX_VALUE, width, repeats, same);
      AscendC::PipeBarrier<PIPE_V>();
      // Rounded as float: half would round twice.
      AscendC::Cast(sums[word], sums[word], AscendC::RoundMode::CAST_RINT, width, repeats, same);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Cast(halves[word], sums[word], AscendC::RoundMode::CAST_NONE, width, repeats, toHalf);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Cast(out[word], halves[word], AscendC::RoundMode::CAST_NONE, width, repeats, toInt8);
    }
    AscendC::PipeBarrier<PIPE_V>();
    Write<int8_t>(out, tile, token, row, rows);
  }

  __aicore__ inline void ApplyScale(const AscendC::LocalTensor<float>& sums, uint32_t head, uint32_t rows) {
    const OutputScaleTiling& quantisation = tiling_->outputScale;
    const uint32_t columns = tiling_->valueDim;
    const bool perChannel = quantisation.kind == SCALE_PER_CHANNEL;
    const uint64_t first = perChannel ? static_cast<uint64_t>(head) * columns : 0;
    const uint32_t count = perChannel ? columns : 1;
    const AscendC::LocalTensor<float> scale = scales_.Get<float>(), offset = scales_.Get<float>()[pitch_];
    reader_->Read(scale, arguments_.scale, first, count);
    if (quantisation.hasOffset) reader_->Read(offset, arguments_.offset, first, count);
    if (!perChannel) {
      SpreadFirst(scale, pitch_);
      if (quantisation.hasOffset) SpreadFirst(offset, pitch_);
    }
    MultiplyColumns(sums, scale, rows, columns, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    if (!quantisation.hasOffset) return;
    AddColumns(sums, offset, rows, columns, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void StoreZeros(const Tile& tile, uint32_t token, uint32_t row, uint32_t rows) {
    AscendC::LocalTensor<int16_t> out = outQueue_->template AllocTensor<int16_t>();
    AscendC::Duplicate(out, static_cast<int16_t>(0), static_cast<int32_t>(rows * pitch_ * sizeof(T) / sizeof(int16_t)));
    if (tiling_->outputScale.kind == SCALE_NONE) {
      AscendC::LocalTensor<T> numbers = out.template ReinterpretCast<T>();
      Write<T>(numbers, tile, token, row, rows);
    } else {
      AscendC::LocalTensor<int8_t> bytes = out.template ReinterpretCast<int8_t>();
      Write<int8_t>(bytes, tile, token, row, rows);
    }
  }

  template <typename U>
  __aicore__ inline void Write(AscendC::LocalTensor<U>& out, const Tile& tile, uint32_t token, uint32_t row,
                               uint32_t rows) {
    outQueue_->EnQue(out);
    out = outQueue_->template DeQue<U>();
    AscendC::GlobalTensor<U> target;
    target.SetGlobalBuffer(reinterpret_cast<__gm__ U*>(arguments_.output));
    StoreRows(target[RowOffset(tiling_->output, tile, token, row)], out, rows, tiling_->valueDim,
              RowDistance(tiling_->output, tile), pitch_);
    outQueue_->FreeTensor(out);
  }

  const ForwardTiling* tiling_;
  OutputArguments arguments_;
  OutQueue* outQueue_;
  RowStatistics statistics_;
  NumberReader* reader_;
  AntiquantScales valueScales_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> scales_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> halves_;
  float factor_;
  uint32_t pitch_;
};

}  // namespace npufa
