// Gradient of the sinks: a sink takes part in the softmax of every row of its head and has no value.
#pragma once

#include "../tiles/tile_copy.h"
#include "backward_arguments.h"
#include "backward_workspace.h"

namespace npufa {

template <typename T>
class SinkGradient {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const BackwardTiling& tiling, const BackwardArguments& arguments,
                              const BackwardWorkspace<T>& workspace, uint32_t core) {
    tiling_ = &tiling;
    arguments_ = &arguments;
    workspace_ = &workspace;
    core_ = core;
    sink_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(arguments.sink));
    gradient_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(arguments.sinkGradient));
    pipe.InitBuffer(queue_, 1, 3 * FLOATS * sizeof(float));
    pipe.InitBuffer(outQueue_, 1, FLOATS_PER_REPEAT * sizeof(float));
    pipe.InitBuffer(total_, FLOATS * sizeof(float));
    pipe.InitBuffer(partial_, PartialFloats(FLOATS) * sizeof(float));
  }

  __aicore__ inline void Run() {
    for (uint32_t head = core_; head < tiling_->forward.sequences.heads; head += 2 * tiling_->cores) SumHead(head);
  }

 private:
  static constexpr uint32_t ROWS = 512;
  static constexpr uint32_t FLOATS = ROWS * STATISTIC_WIDTH;

  __aicore__ inline void SumHead(uint32_t head) {
    AscendC::Duplicate(total_.Get<float>(), 0.0f, FLOATS);
    AscendC::PipeBarrier<PIPE_V>();
    SequenceReader sequences;
    sequences.Init(tiling_->forward.sequences, arguments_->sequences);
    const float sink = sink_.GetValue(head);
    for (uint32_t index = 0; index < tiling_->forward.sequences.batch; ++index) {
      const Sequence& sequence = sequences.Load(index);
      for (uint32_t row = 0; row < sequence.qLength; row += ROWS) {
        AddRows(sink, workspace_->QueryRow(sequence, head, row), Min(ROWS, sequence.qLength - row));
      }
    }
    Store(head);
  }

  // total -= PROBABILITY_SCALE * probability of the sink . delta; every row counts STATISTIC_WIDTH times.
  __aicore__ inline void AddRows(float sink, uint64_t queryRow, uint32_t rows) {
    const uint32_t count = rows * STATISTIC_WIDTH;
    AscendC::LocalTensor<float> share = queue_.AllocTensor<float>();
    LoadRows(share, workspace_->Maximum(queryRow), 1, count, count, count);
    LoadRows(share[FLOATS], workspace_->Inverse(queryRow), 1, count, count, count);
    LoadRows(share[2 * FLOATS], workspace_->Delta(queryRow), 1, count, count, count);
    queue_.EnQue(share);
    share = queue_.DeQue<float>();
    const AscendC::LocalTensor<float> total = total_.Get<float>();
    AscendC::Muls(share, share, -1.0f, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Adds(share, share, sink, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Exp(share, share, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(share, share, share[FLOATS], static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(share, share, share[2 * FLOATS], static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Sub(total, total, share, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    queue_.FreeTensor(share);
  }

  __aicore__ inline void Store(uint32_t head) {
    const AscendC::LocalTensor<float> total = total_.Get<float>(), partial = partial_.Get<float>();
    const AscendC::LocalTensor<float> blocks = partial[FLOATS / FLOATS_PER_BLOCK];
    SumOf::Blocks(partial, total, FLOATS / FLOATS_PER_REPEAT);
    AscendC::PipeBarrier<PIPE_V>();
    SumOf::Blocks(blocks, partial, FLOATS / FLOATS_PER_REPEAT / FLOATS_PER_BLOCK);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::LocalTensor<float> out = outQueue_.AllocTensor<float>();
    SumOf::Rows(out, blocks, FLOATS_PER_REPEAT, 1, FLOATS_PER_BLOCK);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(out, out, 1.0f / (STATISTIC_WIDTH * PROBABILITY_SCALE), 1);
    outQueue_.EnQue(out);
    out = outQueue_.DeQue<float>();
    StoreRows(gradient_[head], out, 1, 1u, 1, FLOATS_PER_BLOCK);
    outQueue_.FreeTensor(out);
  }

  const BackwardTiling* tiling_;
  const BackwardArguments* arguments_;
  const BackwardWorkspace<T>* workspace_;
  uint32_t core_;
  AscendC::GlobalTensor<float> sink_;
  AscendC::GlobalTensor<float> gradient_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> queue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> total_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> partial_;
};

}  // namespace npufa
