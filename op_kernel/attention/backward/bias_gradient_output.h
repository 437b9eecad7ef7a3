// Gradient of the bias (pse) after all steps: adds up what vector cores and sequences summed for themselves, in order.
#pragma once

#include "../tiles/tile_copy.h"
#include "backward_arguments.h"
#include "backward_workspace.h"

namespace npufa {

template <typename T>
class BiasGradientOutput {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const BackwardTiling& tiling, const BackwardWorkspace<T>& workspace,
                              GM_ADDR gradient, uint32_t core) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    gradient_ = gradient;
    core_ = core;
    pipe.InitBuffer(inQueue_, 1, FLOATS * sizeof(float));
    pipe.InitBuffer(outQueue_, 1, FLOATS * sizeof(float));
    pipe.InitBuffer(total_, FLOATS * sizeof(float));
    pipe.InitBuffer(wide_, FLOATS * sizeof(float));
  }

  __aicore__ inline void Run() {
    const ForwardTiling& forward = tiling_->forward;
    const uint64_t elements = tiling_->biasElements;
    if (forward.biasKind >= BIAS_LINEAR) {
      SumRange<float, false>(0, elements, 0);
    } else if (forward.biasKind == BIAS_MATRIX && forward.bias.token == 0) {
      SumRange<T, false>(0, elements, 0);
    } else if (forward.biasKind == BIAS_MATRIX) {
      if (tiling_->biasParts > 0) SumRange<T, true>(0, elements, 0);
    } else {
      // The last row of each matrix comes from the vector cores' sums, the others are stored already or summed here.
      const uint64_t matrix = COMPRESSED_ROWS * forward.bias.token;
      for (uint64_t m = 0; m < elements / matrix; ++m) {
        const uint64_t lastRow = (m + 1) * matrix - forward.bias.token;
        if (tiling_->biasParts > 0) SumRange<T, true>(m * matrix, lastRow, m * matrix);
        SumRange<T, false>(lastRow, (m + 1) * matrix, m * forward.bias.token);
      }
    }
  }

 private:
  static constexpr uint32_t FLOATS = 4096;
  static constexpr uint32_t COMPRESSED_ROWS = 1024;

  // This core's share of elements [begin, end) of the gradient, of type U, which begin at `source` in the sums of
  // sequences or of vector cores.
  template <typename U, bool ofSequences>
  __aicore__ inline void SumRange(uint64_t begin, uint64_t end, uint64_t source) {
    const uint64_t cores = 2 * tiling_->cores;
    const uint64_t share = ((end - begin) / cores / FLOATS_PER_REPEAT + 1) * FLOATS_PER_REPEAT;
    const uint64_t last = Min(end, begin + (core_ + 1) * share);
    for (uint64_t at = begin + core_ * share; at < last; at += FLOATS) {
      SumBlock<U, ofSequences>(at, source + at - begin, static_cast<uint32_t>(Min<uint64_t>(FLOATS, last - at)));
    }
  }

  template <typename U, bool ofSequences>
  __aicore__ inline void SumBlock(uint64_t target, uint64_t source, uint32_t count) {
    const AscendC::LocalTensor<float> total = total_.Get<float>();
    AscendC::Duplicate(total, 0.0f, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
    if constexpr (ofSequences) {
      for (uint32_t p = 0; p < tiling_->biasParts; ++p) AddPart(total, workspace_->BiasPart(p)[source], count);
    } else {
      for (uint32_t c = 0; c < 2 * tiling_->cores; ++c) AddPart(total, workspace_->BiasSums(c)[source], count);
    }
    AscendC::LocalTensor<U> out = outQueue_.template AllocTensor<U>();
    Narrow(out, total, count);
    outQueue_.EnQue(out);
    out = outQueue_.template DeQue<U>();
    AscendC::GlobalTensor<U> gradient;
    gradient.SetGlobalBuffer(reinterpret_cast<__gm__ U*>(gradient_));
    StoreRows(gradient[target], out, 1, count, count, AlignUp(count, BLOCK_BYTES / sizeof(U)));
    outQueue_.FreeTensor(out);
  }

  template <typename Part>
  __aicore__ inline void AddPart(const AscendC::LocalTensor<float>& total, const AscendC::GlobalTensor<Part>& source,
                                 uint32_t count) {
    const AscendC::LocalTensor<float> wide = wide_.Get<float>();
    AscendC::LocalTensor<Part> part = inQueue_.template AllocTensor<Part>();
    LoadRows(part, source, 1, count, count, AlignUp(count, BLOCK_BYTES / sizeof(Part)));
    inQueue_.EnQue(part);
    part = inQueue_.template DeQue<Part>();
    Widen(wide, part, count);
    inQueue_.FreeTensor(part);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(total, total, wide, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
  }

  const BackwardTiling* tiling_;
  const BackwardWorkspace<T>* workspace_;
  GM_ADDR gradient_;
  uint32_t core_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> inQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> total_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> wide_;
};

}  // namespace npufa
