// What the vector cores do after the backward steps: sums become gradients of the input type.
#pragma once

#include "../tiles/tile_copy.h"
#include "backward_arguments.h"
#include "backward_workspace.h"

namespace npufa {

template <typename T>
class BackwardOutput {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const BackwardTiling& tiling, const BackwardArguments& arguments,
                              const BackwardWorkspace<T>& workspace, uint32_t core) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    core_ = core;
    arguments_ = &arguments;
    pipe.InitBuffer(inQueue_, 2, FLOATS * sizeof(float));
    pipe.InitBuffer(copyQueue_, 1, FLOATS * sizeof(float));
    pipe.InitBuffer(outQueue_, 2, FLOATS * sizeof(T));
  }

  __aicore__ inline void Run() {
    const ForwardTiling& f = tiling_->forward;
    const SequenceTiling& s = f.sequences;
    Heads queries = {s.heads, s.qTokens, tiling_->queryFloats / tiling_->queryPitch, tiling_->queryPitch, f.scale};
    Convert(queries, workspace_->Query(0), true, arguments_->queryGradient, f.query, f.headDim,
            arguments_->queryRopeGradient, f.queryRope);
    Heads keys = {s.heads / s.groupSize, s.kvTokens, tiling_->keyFloats / tiling_->queryPitch, tiling_->queryPitch,
                  f.scale};
    Convert(keys, workspace_->Key(0), false, arguments_->keyGradient, f.key.rows, f.headDim,
            arguments_->keyRopeGradient, f.keyRope.rows);
    Heads values = {s.heads / s.groupSize, s.kvTokens, tiling_->valueFloats / tiling_->valuePitch, tiling_->valuePitch,
                    (f.hasDropout ? f.keepScale : 1.0f) / PROBABILITY_SCALE};
    Convert(values, workspace_->Value(0), false, arguments_->valueGradient, f.value.rows, f.valueDim, nullptr,
            f.value.rows);
  }

 private:
  static constexpr uint32_t FLOATS = 8192;

  // Sums of one kind: rows of `pitch` floats, `tokens` for each head of each batch.
  struct Heads {
    uint32_t heads;
    uint32_t tokens;
    uint64_t rows;
    uint32_t pitch;
    float factor;
  };
  // Rows of one head.
  struct Block {
    uint32_t batch;
    uint32_t head;
    uint32_t token;
    uint32_t rows;
  };

  __aicore__ inline void Convert(const Heads& heads, const AscendC::GlobalTensor<float>& sums, bool copies,
                                 GM_ADDR gradient, const TensorStrides& strides, uint32_t columns, GM_ADDR ropeGradient,
                                 const TensorStrides& ropeStrides) {
    const uint32_t chunkRows = FLOATS / heads.pitch;
    const uint64_t cores = 2 * tiling_->cores;
    const uint64_t share = (heads.rows + cores - 1) / cores;
    const uint64_t end = Min(heads.rows, (core_ + 1) * share);
    uint64_t row = core_ * share;
    while (row < end) {
      Block block;
      block.token = static_cast<uint32_t>(row % heads.tokens);
      block.head = static_cast<uint32_t>(row / heads.tokens % heads.heads);
      block.batch = static_cast<uint32_t>(row / heads.tokens / heads.heads);
      block.rows = Min(chunkRows, Min(heads.tokens - block.token, static_cast<uint32_t>(end - row)));
      AscendC::LocalTensor<T> out = Finish(sums[row * heads.pitch], heads, block, copies);
      StoreChannels(gradient, strides, block, out, columns, heads.pitch);
      if (ropeGradient != nullptr && tiling_->forward.ropeDim > 0) {
        StoreChannels(ropeGradient, ropeStrides, block, out[tiling_->ropeColumn], tiling_->forward.ropeDim,
                      heads.pitch);
      }
      outQueue_.FreeTensor(out);
      row += block.rows;
    }
  }

  __aicore__ inline AscendC::LocalTensor<T> Finish(const AscendC::GlobalTensor<float>& sums, const Heads& heads,
                                                   const Block& block, bool copies) {
    const uint32_t count = block.rows * heads.pitch;
    AscendC::LocalTensor<float> total = inQueue_.AllocTensor<float>();
    LoadRows(total, sums, 1, count, count, count);
    inQueue_.EnQue(total);
    total = inQueue_.DeQue<float>();
    for (uint32_t c = 0; copies && c < tiling_->copies; ++c) AddCopy(total, tiling_->copy[c], block, heads.pitch);
    AscendC::Muls(total, total, heads.factor, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::LocalTensor<T> out = outQueue_.template AllocTensor<T>();
    Narrow(out, total, count);
    inQueue_.FreeTensor(total);
    outQueue_.EnQue(out);
    return outQueue_.template DeQue<T>();
  }

  // What another core group summed for some of the rows.
  __aicore__ inline void AddCopy(const AscendC::LocalTensor<float>& total, const QueryCopy& copy, const Block& block,
                                 uint32_t pitch) {
    const uint32_t groupSize = tiling_->forward.sequences.groupSize;
    if (block.batch != copy.batch || block.head < copy.firstHead || block.head >= copy.firstHead + groupSize) return;
    const uint32_t first = Max(block.token, copy.firstToken);
    const uint32_t end = Min(block.token + block.rows, copy.firstToken + copy.tokens);
    if (first >= end) return;
    const uint32_t count = (end - first) * pitch;
    AscendC::LocalTensor<float> part = copyQueue_.AllocTensor<float>();
    LoadRows(part, workspace_->Copy(copy, block.head, first), 1, count, count, count);
    copyQueue_.EnQue(part);
    part = copyQueue_.DeQue<float>();
    const AscendC::LocalTensor<float> rows = total[(first - block.token) * pitch];
    AscendC::Add(rows, rows, part, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    copyQueue_.FreeTensor(part);
  }

  __aicore__ inline static void StoreChannels(GM_ADDR target, const TensorStrides& strides, const Block& block,
                                              const AscendC::LocalTensor<T>& rows, uint32_t columns, uint32_t pitch) {
    AscendC::GlobalTensor<T> gradient;
    gradient.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(target));
    const uint64_t offset = block.batch * strides.batch + block.head * strides.head + block.token * strides.token;
    StoreRows(gradient[offset], rows, block.rows, columns, strides.token, pitch);
  }

  const BackwardTiling* tiling_;
  const BackwardWorkspace<T>* workspace_;
  const BackwardArguments* arguments_;
  uint32_t core_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> inQueue_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> copyQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue_;
};

}  // namespace npufa
