// What the vector cores do before the backward steps: sums start from zero, and every query row gets its statistics.
#pragma once

#include "../tiles/tile_copy.h"
#include "backward_arguments.h"
#include "backward_workspace.h"

namespace npufa {

template <typename T>
class BackwardPreparation {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const BackwardTiling& tiling, const BackwardArguments& arguments,
                              const BackwardWorkspace<T>& workspace, uint32_t core) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    core_ = core;
    sequences_.Init(tiling.forward.sequences, arguments.sequences);
    output_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.output));
    gradient_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.gradient));
    biasGradient_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.biasGradient));
    max_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(arguments.softmaxMax));
    sum_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(arguments.softmaxSum));
    pitch_ = RowPitch(tiling.forward.valueDim);
    chunkRows_ = Min(FLOATS / pitch_, CHUNK_ROWS);
    pipe.InitBuffer(queue_, 2, 2 * FLOATS * sizeof(T));
    pipe.InitBuffer(statisticQueue_, 2, 2 * CHUNK_STATISTICS * sizeof(float));
    pipe.InitBuffer(outQueue_, 2, CHUNK_STATISTICS * sizeof(float));
    pipe.InitBuffer(wide_, 2 * FLOATS * sizeof(float));
    pipe.InitBuffer(partial_, PartialFloats(FLOATS) * sizeof(float));
    pipe.InitBuffer(dots_, CHUNK_ROWS * sizeof(float));
  }

  __aicore__ inline void Run() {
    // Also what follows the last channel of a row stays zero.
    AscendC::Duplicate(wide_.Get<float>(), 0.0f, 2 * FLOATS);
    AscendC::Duplicate(dots_.Get<float>(), 0.0f, CHUNK_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    OrderPipes<AscendC::HardEvent::V_MTE3>();
    FillZeros(workspace_->Gradients(), workspace_->GradientFloats());
    if (tiling_->biasParts > 0) {
      FillZeros(workspace_->BiasPart(0), tiling_->biasParts * tiling_->biasElements);
    } else if (tiling_->forward.biasKind == BIAS_MATRIX || tiling_->forward.biasKind == BIAS_COMPRESSED) {
      FillZeros(biasGradient_, tiling_->biasElements);
    }
    OrderPipes<AscendC::HardEvent::MTE3_V>();
    uint32_t item = 0;
    for (uint32_t index = 0; index < tiling_->forward.sequences.batch; ++index) {
      const Sequence& sequence = sequences_.Load(index);
      for (uint32_t head = 0; head < tiling_->forward.sequences.heads; ++head) {
        for (uint32_t row = 0; row < sequence.qLength; row += ITEM_ROWS, ++item) {
          if (item % Cores() == core_) Rows(sequence, head, row, Min(row + ITEM_ROWS, sequence.qLength));
        }
      }
    }
  }

 private:
  static constexpr uint32_t FLOATS = 4096;
  static constexpr uint32_t ITEM_ROWS = 128;  // that one core takes at a time
  static constexpr uint32_t CHUNK_ROWS = 64;
  static constexpr uint32_t CHUNK_STATISTICS = CHUNK_ROWS * STATISTIC_WIDTH;
  static constexpr float SMALLEST = 1.175494351e-38f;
  static constexpr float WELL_BELOW_SUMS = 1.0e-4f;  // sums of rows with keys are about 1 or more

  __aicore__ inline uint32_t Cores() const { return 2 * tiling_->cores; }

  // This core's share of `count` elements, from the zeros of `wide_`.
  template <typename U>
  __aicore__ inline void FillZeros(const AscendC::GlobalTensor<U>& target, uint64_t count) {
    constexpr uint64_t most = 2 * FLOATS * sizeof(float) / sizeof(U);
    const uint64_t share = (count / Cores() / most + 1) * most;
    const uint64_t end = Min(count, (core_ + 1) * share);
    for (uint64_t at = core_ * share; at < end; at += most) {
      const uint32_t bytes = static_cast<uint32_t>(Min(most, end - at) * sizeof(U));
      AscendC::DataCopyPad(target[at], wide_.Get<U>(), AscendC::DataCopyExtParams(1, bytes, 0, 0, 0));
    }
  }

  __aicore__ inline void Rows(const Sequence& sequence, uint32_t head, uint32_t first, uint32_t end) {
    for (uint32_t row = first; row < end; row += chunkRows_) {
      const uint32_t rows = Min(chunkRows_, end - row);
      const uint64_t queryRow = workspace_->QueryRow(sequence, head, row);
      StoreSoftmax(sequence, head, row, rows, queryRow);
      StoreDelta(sequence, head, row, rows, workspace_->Delta(queryRow));
    }
  }

  // Maximum and PROBABILITY_SCALE / sum.
  __aicore__ inline void StoreSoftmax(const Sequence& sequence, uint32_t head, uint32_t row, uint32_t rows,
                                      uint64_t queryRow) {
    const uint64_t heads = tiling_->forward.sequences.heads;
    const bool byToken = tiling_->forward.statisticsByToken;
    uint64_t position = queryRow;
    if (tiling_->forward.sequences.packedQuery) {
      position = byToken ? (sequence.qFirst + row) * heads + head
                         : sequence.qFirst * heads + static_cast<uint64_t>(head) * sequence.qLength + row;
    }
    position *= STATISTIC_WIDTH;
    const uint64_t distance = byToken ? heads * STATISTIC_WIDTH : STATISTIC_WIDTH;
    AscendC::LocalTensor<float> maximum = statisticQueue_.AllocTensor<float>();
    LoadRows(maximum, max_[position], rows, STATISTIC_WIDTH, distance, STATISTIC_WIDTH);
    LoadRows(maximum[CHUNK_STATISTICS], sum_[position], rows, STATISTIC_WIDTH, distance, STATISTIC_WIDTH);
    statisticQueue_.EnQue(maximum);
    maximum = statisticQueue_.DeQue<float>();
    const AscendC::LocalTensor<float> sum = maximum[CHUNK_STATISTICS];
    const int32_t count = static_cast<int32_t>(rows * STATISTIC_WIDTH);
    AscendC::LocalTensor<float> copy = outQueue_.AllocTensor<float>();
    AscendC::Muls(copy, maximum, 1.0f, count);
    Store(copy, workspace_->Maximum(queryRow), rows);
    AscendC::LocalTensor<float> inverse = outQueue_.AllocTensor<float>();
    AscendC::Muls(inverse, sum, PROBABILITY_SCALE / WELL_BELOW_SUMS, count);
    AscendC::Maxs(sum, sum, SMALLEST, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mins(inverse, inverse, PROBABILITY_SCALE, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Div(inverse, inverse, sum, count);
    statisticQueue_.FreeTensor(maximum);
    Store(inverse, workspace_->Inverse(queryRow), rows);
  }

  // Output . its gradient.
  __aicore__ inline void StoreDelta(const Sequence& sequence, uint32_t head, uint32_t row, uint32_t rows,
                                    const AscendC::GlobalTensor<float>& target) {
    const TensorStrides& strides = tiling_->forward.output;
    const uint32_t columns = tiling_->forward.valueDim;
    const uint64_t offset =
        sequence.batch * strides.batch + head * strides.head + (sequence.qFirst + row) * strides.token;
    AscendC::LocalTensor<T> output = queue_.template AllocTensor<T>();
    LoadRows(output, output_[offset], rows, columns, strides.token, pitch_);
    LoadRows(output[FLOATS], gradient_[offset], rows, columns, strides.token, pitch_);
    queue_.EnQue(output);
    output = queue_.template DeQue<T>();
    const AscendC::LocalTensor<float> products = wide_.Get<float>(), factors = products[FLOATS];
    WidenRows(products, output, rows, columns, pitch_);
    WidenRows(factors, output[FLOATS], rows, columns, pitch_);
    queue_.FreeTensor(output);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(products, products, factors, static_cast<int32_t>(rows * pitch_));
    AscendC::PipeBarrier<PIPE_V>();
    ReduceRows<SumOf>(dots_.Get<float>(), products, partial_.Get<float>(), rows, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::LocalTensor<float> delta = outQueue_.AllocTensor<float>();
    BroadcastRows(delta, dots_.Get<float>(), rows);
    Store(delta, target, rows);
  }

  __aicore__ inline void Store(AscendC::LocalTensor<float>& blocks, const AscendC::GlobalTensor<float>& target,
                               uint32_t rows) {
    outQueue_.EnQue(blocks);
    blocks = outQueue_.DeQue<float>();
    const uint32_t count = rows * STATISTIC_WIDTH;
    StoreRows(target, blocks, 1, count, count, count);
    outQueue_.FreeTensor(blocks);
  }

  const BackwardTiling* tiling_;
  const BackwardWorkspace<T>* workspace_;
  uint32_t core_;
  uint32_t pitch_;
  uint32_t chunkRows_;
  SequenceReader sequences_;
  AscendC::GlobalTensor<T> output_;
  AscendC::GlobalTensor<T> gradient_;
  AscendC::GlobalTensor<T> biasGradient_;
  AscendC::GlobalTensor<float> max_;
  AscendC::GlobalTensor<float> sum_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> queue_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> statisticQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> wide_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> partial_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> dots_;
};

}  // namespace npufa
