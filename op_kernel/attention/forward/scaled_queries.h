// Queries of a tile in the workspace, as the cube multiplies them with stored keys. The key's scales go into them, so
// that query . ((key + offset) * scale) = factor * (queries . key) + constant, with a factor and a constant per row.
#pragma once

#include "../call/workspace.h"
#include "../softmax/softmax.h"
#include "../stored/antiquant_scales.h"
#include "../stored/digits.h"
#include "../stored/float8.h"

namespace npufa {

template <typename T, typename Stored>
class ScaledQueries {
 public:
  using C = typename CubeOperand<T, Stored>::Type;
  using InQueue = AscendC::TQue<AscendC::TPosition::VECIN, 1>;
  using OutQueue = AscendC::TQue<AscendC::TPosition::VECOUT, 1>;

  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR query,
                              const AntiquantArguments& arguments, const GroupWorkspace<C>& workspace, InQueue& inQueue,
                              OutQueue& outQueue, NumberReader& reader) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    inQueue_ = &inQueue;
    outQueue_ = &outQueue;
    query_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(query));
    pitch_ = RowPitch(tiling.headDim);
    scales_.Init(pipe, tiling.keyAntiquant, arguments, tiling.headDim, nullptr, reader);
    chunk_ = DIGITAL ? tiling.chunkFloats : FLOATS_PER_BLOCK * pitch_;
    pipe.InitBuffer(values_, chunk_ * sizeof(float));
    pipe.InitBuffer(rounded_, chunk_ * sizeof(float));
    if constexpr (DIGITAL) pipe.InitBuffer(halves_, chunk_ * sizeof(half));
    pipe.InitBuffer(partial_, PartialFloats(chunk_) * sizeof(float));
    pipe.InitBuffer(vectors_, (2 * KEY_SLOTS + 1) * MAX_CORE_ROWS * sizeof(float));
    pipe.InitBuffer(blocks_, MAX_CORE_ROWS * BLOCK_BYTES);
    AscendC::Duplicate(vectors_.Get<float>(), 0.0f, (2 * KEY_SLOTS + 1) * MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Rows [firstRow, firstRow + rows) of the step's tile.
  __aicore__ inline void Run(const Step& step, uint32_t firstRow, uint32_t rows) {
    const uint32_t atOnce = chunk_ / pitch_ / FLOATS_PER_BLOCK * FLOATS_PER_BLOCK;
    for (uint32_t row = 0; row < rows; row += atOnce) RunChunk(step, firstRow, row, Min(atOnce, rows - row));
  }

  // scores of rows [row, row + rows) of this core, of a tile whose first step is `step` or later: * factor + constant.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& scores, uint32_t tileNumber, uint32_t row,
                               uint32_t rows, uint32_t columns, uint32_t pitch) {
    MultiplyRows(scores, Blocks(Vector(tileNumber % KEY_SLOTS, row), rows), rows, columns, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    if (!tiling_->keyAntiquant.hasOffset) return;
    AddRows(scores, Blocks(Vector(KEY_SLOTS + tileNumber % KEY_SLOTS, row), rows), rows, columns, pitch);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Scratch for TakeDigit, free between calls.
  __aicore__ inline AscendC::LocalTensor<float> Rounded() { return rounded_.Get<float>(); }
  __aicore__ inline AscendC::LocalTensor<half> Halves() { return halves_.Get<half>(); }

 private:
  static constexpr bool DIGITAL = SameType<Stored, Int8Digits>::value;
  static constexpr float SMALLEST = 1.175494351e-38f;

  __aicore__ inline void RunChunk(const Step& step, uint32_t firstRow, uint32_t row, uint32_t rows) {
    const Tile& tile = step.tile;
    const AscendC::LocalTensor<float> values = values_.Get<float>(), scratch = rounded_.Get<float>();
    LoadQueries(values, tile, firstRow + row, rows);
    const AscendC::LocalTensor<float> factor = Vector(step.tileNumber % KEY_SLOTS, row);
    const AscendC::LocalTensor<float> largest = Vector(2 * KEY_SLOTS, 0);
    const int32_t floats = static_cast<int32_t>(rows * pitch_),
                  count = static_cast<int32_t>(AlignUp(rows, FLOATS_PER_BLOCK));
    const uint32_t head = tile.head / tiling_->sequences.groupSize;
    scales_.MultiplyScale(values, head, rows, pitch_);
    if (tiling_->keyAntiquant.hasOffset) {
      AscendC::Muls(scratch, values, 1.0f, floats);
      AscendC::PipeBarrier<PIPE_V>();
      scales_.MultiplyOffset(scratch, rows, pitch_);
      ReduceRows<SumOf>(Vector(KEY_SLOTS + step.tileNumber % KEY_SLOTS, row), scratch, partial_.Get<float>(), rows,
                        pitch_);
      AscendC::PipeBarrier<PIPE_V>();
    }
    AscendC::Abs(scratch, values, floats);
    AscendC::PipeBarrier<PIPE_V>();
    ReduceRows<MaximumOf>(largest, scratch, partial_.Get<float>(), rows, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Maxs(largest, largest, SMALLEST, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(factor, largest, Float8Unit(*tiling_) / DIGIT_MOST, count);
    DivideRows(values, Blocks(largest, rows), rows, pitch_, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(values, values, DIGIT_MOST, floats);
    AscendC::PipeBarrier<PIPE_V>();
    for (uint32_t digit = 0; digit < (DIGITAL ? DIGITS : 1); ++digit) {
      AscendC::LocalTensor<C> out = outQueue_->template AllocTensor<C>();
      if constexpr (DIGITAL) {
        TakeDigit(out, values, scratch, halves_.Get<half>(), rows * pitch_);
      } else {
        Narrow(out, values, rows * pitch_);
      }
      outQueue_->EnQue(out);
      out = outQueue_->template DeQue<C>();
      StoreRows(workspace_->Queries(step.KeySlot(), digit * tile.rows + firstRow + row), out, rows, tiling_->headDim,
                tiling_->keyPitch, pitch_);
      outQueue_->FreeTensor(out);
    }
  }

  // As floats, 0 beyond the channels.
  __aicore__ inline void LoadQueries(const AscendC::LocalTensor<float>& values, const Tile& tile, uint32_t row,
                                     uint32_t rows) {
    AscendC::LocalTensor<T> raw = inQueue_->template AllocTensor<T>();
    const uint64_t offset = RowOffset(tiling_->query, tile, tile.sequence.qFirst + tile.firstRow, row);
    LoadRows(raw, query_[offset], rows, tiling_->headDim, RowDistance(tiling_->query, tile), pitch_);
    inQueue_->EnQue(raw);
    raw = inQueue_->template DeQue<T>();
    AscendC::Duplicate(values, 0.0f, static_cast<int32_t>(rows * pitch_));
    AscendC::PipeBarrier<PIPE_V>();
    WidenRows(values, raw, rows, tiling_->headDim, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    inQueue_->FreeTensor(raw);
  }

  __aicore__ inline AscendC::LocalTensor<float> Vector(uint32_t which, uint32_t row) {
    return vectors_.Get<float>()[which * MAX_CORE_ROWS + row];
  }
  __aicore__ inline AscendC::LocalTensor<float> Blocks(const AscendC::LocalTensor<float>& values, uint32_t rows) {
    const AscendC::LocalTensor<float> blocks = blocks_.Get<float>();
    AscendC::PipeBarrier<PIPE_V>();
    BroadcastRows(blocks, values, rows);
    AscendC::PipeBarrier<PIPE_V>();
    return blocks;
  }

  const ForwardTiling* tiling_;
  const GroupWorkspace<C>* workspace_;
  InQueue* inQueue_;
  OutQueue* outQueue_;
  AscendC::GlobalTensor<T> query_;
  AntiquantScales scales_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> values_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> rounded_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> halves_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> partial_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> vectors_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> blocks_;
  uint32_t pitch_;
  uint32_t chunk_;  // floats at once
};

}  // namespace npufa
