// Rotates rows by angles that are given as cosines and sines, for each row or for several.
#pragma once

#include "rotation.h"

namespace npufa {

template <typename T>
class RotaryMul {
 public:
  __aicore__ inline void Run(GM_ADDR input, GM_ADDR cosines, GM_ADDR sines, GM_ADDR output,
                             const RotaryTiling& tiling) {
    tiling_ = &tiling;
    input_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(input));
    angles_[0].SetGlobalBuffer(reinterpret_cast<__gm__ T*>(cosines));
    angles_[1].SetGlobalBuffer(reinterpret_cast<__gm__ T*>(sines));
    output_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(output));
    pitch_ = AlignUp(tiling.columns, FLOATS_PER_REPEAT);
    AscendC::TPipe pipe;
    pipe.InitBuffer(inQueue_, 2, ROTARY_FLOATS * sizeof(T));
    pipe.InitBuffer(outQueue_, 2, ROTARY_FLOATS * sizeof(T));
    pipe.InitBuffer(values_, ROTARY_FLOATS * sizeof(float));
    for (uint32_t i = 0; i < 2; ++i) pipe.InitBuffer(factors_[i], ROTARY_FLOATS * sizeof(float));
    rotation_.Init(pipe, tiling.mode, tiling.columns, pitch_, ROTARY_FLOATS, tiling.transposed != 0);

    const uint64_t inner = tiling.size[ROTARY_AXES - 1];
    const uint64_t tilesPerRun = (inner + tiling.tileRows - 1) / tiling.tileRows;
    const uint64_t tiles = tiling.size[0] * tiling.size[1] * tilesPerRun;
    const uint64_t core = static_cast<uint64_t>(AscendC::GetBlockIdx()), cores = AscendC::GetBlockNum();
    for (uint64_t tile = tiles * core / cores; tile < tiles * (core + 1) / cores; ++tile) {
      const uint64_t run = tile / tilesPerRun, first = tile % tilesPerRun * tiling.tileRows;
      const uint64_t angle =
          run / tiling.size[1] * tiling.stride[0] + run % tiling.size[1] * tiling.stride[1] + first * tiling.stride[2];
      Rotate(run * inner + first, angle,
             static_cast<uint32_t>(Min(static_cast<uint64_t>(tiling.tileRows), inner - first)));
    }
  }

 private:
  __aicore__ inline void Rotate(uint64_t row, uint64_t angle, uint32_t rows) {
    const bool oneForAll = tiling_->stride[ROTARY_AXES - 1] == 0;
    if (!oneForAll || angle != angle_) LoadAngles(angle, oneForAll ? 1 : rows);
    angle_ = angle;
    const AscendC::LocalTensor<float> values = values_.Get<float>();
    Load(values, input_[row * tiling_->columns], rows);
    rotation_.Apply(values, factors_[0].Get<float>(), factors_[1].Get<float>(), rows, oneForAll);
    AscendC::LocalTensor<T> out = outQueue_.template AllocTensor<T>();
    NarrowRows(out, values, rows, tiling_->columns, pitch_);
    outQueue_.EnQue(out);
    out = outQueue_.template DeQue<T>();
    StoreRows(output_[row * tiling_->columns], out, rows, tiling_->columns, tiling_->columns, pitch_);
    outQueue_.FreeTensor(out);
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void LoadAngles(uint64_t angle, uint32_t rows) {
    for (uint32_t i = 0; i < 2; ++i)
      Load(factors_[i].template Get<float>(), angles_[i][angle * tiling_->columns], rows);
    rotation_.PrepareSines(factors_[1].template Get<float>(), rows);
  }

  __aicore__ inline void Load(const AscendC::LocalTensor<float>& result, const AscendC::GlobalTensor<T>& source,
                              uint32_t rows) {
    AscendC::LocalTensor<T> raw = inQueue_.template AllocTensor<T>();
    LoadRows(raw, source, rows, tiling_->columns, tiling_->columns, pitch_);
    inQueue_.EnQue(raw);
    raw = inQueue_.template DeQue<T>();
    // Columns behind the last are computed with, too.
    AscendC::Duplicate(result, 0.0f, static_cast<int32_t>(rows * pitch_));
    AscendC::PipeBarrier<PIPE_V>();
    WidenRows(result, raw, rows, tiling_->columns, pitch_);
    inQueue_.FreeTensor(raw);
    AscendC::PipeBarrier<PIPE_V>();
  }

  static constexpr uint64_t NO_ANGLE = ~static_cast<uint64_t>(0);

  const RotaryTiling* tiling_;
  AscendC::GlobalTensor<T> input_;
  AscendC::GlobalTensor<T> angles_[2];
  AscendC::GlobalTensor<T> output_;
  AscendC::TQue<AscendC::TPosition::VECIN, 2> inQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 2> outQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> values_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> factors_[2];
  Rotation rotation_;
  uint64_t angle_ = NO_ANGLE;  // of the factors at hand
  uint32_t pitch_;
};

}  // namespace npufa
