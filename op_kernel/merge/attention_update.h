// Merges the outputs of one attention over disjoint sets of keys by their log-sum-exp.
#pragma once

#include "kernel_operator_list_tensor_intf.h"
#include "weighted_sum.h"

namespace npufa {

template <typename T>
class AttentionUpdate {
 public:
  __aicore__ inline void Run(GM_ADDR lse, GM_ADDR parts, GM_ADDR output, GM_ADDR lseOut,
                             const AttentionUpdateTiling& tiling) {
    tiling_ = &tiling;
    lseList_.Init(reinterpret_cast<__gm__ void*>(lse));
    partList_.Init(reinterpret_cast<__gm__ void*>(parts));
    output_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(output));
    lseOut_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(lseOut));
    AscendC::TPipe pipe;
    pipe.InitBuffer(lseQueue_, 2, MERGE_ROWS * sizeof(float));
    pipe.InitBuffer(lseOutQueue_, 1, MERGE_ROWS * sizeof(float));
    pipe.InitBuffer(vectors_, (VECTORS + 2 * tiling.parts) * MERGE_ROWS * sizeof(float));
    pipe.InitBuffer(blocks_, MERGE_ROWS * BLOCK_BYTES);
    sum_.Init(pipe);
    // Whole blocks of rows are broadcast, also where a tile has fewer.
    AscendC::Duplicate(vectors_.Get<float>(), 0.0f, static_cast<int32_t>((VECTORS + 2 * tiling.parts) * MERGE_ROWS));
    AscendC::PipeBarrier<PIPE_V>();
    const uint64_t tiles = (tiling.rows + tiling.tileRows - 1) / tiling.tileRows;
    const uint64_t core = static_cast<uint64_t>(AscendC::GetBlockIdx()), cores = AscendC::GetBlockNum();
    for (uint64_t tile = tiles * core / cores; tile < tiles * (core + 1) / cores; ++tile) {
      const uint64_t first = tile * tiling.tileRows;
      Merge(first, static_cast<uint32_t>(Min(static_cast<uint64_t>(tiling.tileRows), tiling.rows - first)));
    }
  }

 private:
  static constexpr float SMALLEST = 1.175494351e-38f;
  static constexpr float BEYOND = 1e30f;  // no log-sum-exp of keys is so large
  static constexpr float NO_KEYS = 3.0e38f;
  static constexpr uint32_t MAXIMUM = 0;
  static constexpr uint32_t TOTAL = 1;
  static constexpr uint32_t FACTOR = 2;
  static constexpr uint32_t VECTORS = 3;

  __aicore__ inline AscendC::LocalTensor<float> Vector(uint32_t index) {
    return vectors_.Get<float>()[index * MERGE_ROWS];
  }
  __aicore__ inline AscendC::LocalTensor<float> Lse(uint32_t part) { return Vector(VECTORS + 2 * part); }
  // 1 for rows with keys in a part, 0 for others.
  __aicore__ inline AscendC::LocalTensor<float> Valid(uint32_t part) { return Vector(VECTORS + 2 * part + 1); }

  __aicore__ inline void Merge(uint64_t first, uint32_t rows) {
    const int32_t count = static_cast<int32_t>(rows);
    AscendC::Duplicate(Vector(MAXIMUM), -NO_KEYS, count);
    AscendC::Duplicate(Vector(TOTAL), 0.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    for (uint32_t part = 0; part < tiling_->parts; ++part) ReadLse(part, first, rows);
    for (uint32_t part = 0; part < tiling_->parts; ++part) Weigh(part, count);
    if (tiling_->hasLse != 0) StoreLse(first, rows);
    AscendC::Maxs(Vector(TOTAL), Vector(TOTAL), SMALLEST, count);
    AscendC::PipeBarrier<PIPE_V>();
    for (uint32_t part = 0; part < tiling_->parts; ++part) {
      AscendC::Div(Lse(part), Lse(part), Vector(TOTAL), count);
    }
    AscendC::PipeBarrier<PIPE_V>();
    for (uint32_t column = 0; column < tiling_->columns; column += MERGE_COLUMNS) {
      Sum(first, rows, column, Min(MERGE_COLUMNS, tiling_->columns - column));
    }
  }

  // Log-sum-exp of a part, and their maximum. Rows without keys in it have +inf, in some libraries -inf.
  __aicore__ inline void ReadLse(uint32_t part, uint64_t first, uint32_t rows) {
    const int32_t count = static_cast<int32_t>(rows);
    AscendC::GlobalTensor<float> source;
    source.SetGlobalBuffer(lseList_.GetDataPtr<float>(part));
    AscendC::LocalTensor<float> raw = lseQueue_.AllocTensor<float>();
    LoadRows(raw, source[first], 1, rows, rows, AlignUp(rows, FLOATS_PER_BLOCK));
    lseQueue_.EnQue(raw);
    raw = lseQueue_.DeQue<float>();
    const AscendC::LocalTensor<float> lse = Lse(part), valid = Valid(part), factor = Vector(FACTOR);
    AscendC::Abs(valid, raw, count);
    AscendC::Maxs(lse, raw, -BEYOND, count);
    lseQueue_.FreeTensor(raw);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(valid, valid, -1.0f, count);
    AscendC::Mins(lse, lse, BEYOND, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Adds(valid, valid, BEYOND, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Maxs(valid, valid, 0.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mins(valid, valid, 1.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(lse, lse, valid, count);
    AscendC::Adds(factor, valid, -1.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(factor, factor, NO_KEYS, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(lse, lse, factor, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Max(Vector(MAXIMUM), Vector(MAXIMUM), lse, count);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Turns the log-sum-exp of a part into its weight, and adds it to the total.
  __aicore__ inline void Weigh(uint32_t part, int32_t count) {
    const AscendC::LocalTensor<float> lse = Lse(part);
    AscendC::Sub(lse, lse, Vector(MAXIMUM), count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Exp(lse, lse, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(lse, lse, Valid(part), count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(Vector(TOTAL), Vector(TOTAL), lse, count);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // maximum + log(total), +inf for rows without keys.
  __aicore__ inline void StoreLse(uint64_t first, uint32_t rows) {
    const int32_t count = static_cast<int32_t>(rows);
    const AscendC::LocalTensor<float> any = Vector(FACTOR);
    AscendC::LocalTensor<float> result = lseOutQueue_.AllocTensor<float>();
    AscendC::Mins(any, Vector(TOTAL), 1.0f, count);
    AscendC::Maxs(result, Vector(TOTAL), SMALLEST, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Ln(result, result, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(result, result, Vector(MAXIMUM), count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(result, result, any, count);
    AscendC::Duplicate(Vector(MAXIMUM), 1.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Div(any, Vector(MAXIMUM), any, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Adds(any, any, -1.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(result, result, any, count);
    lseOutQueue_.EnQue(result);
    result = lseOutQueue_.DeQue<float>();
    StoreRows(lseOut_[first], result, 1, rows, rows, AlignUp(rows, FLOATS_PER_BLOCK));
    lseOutQueue_.FreeTensor(result);
  }

  __aicore__ inline void Sum(uint64_t first, uint32_t rows, uint32_t column, uint32_t columns) {
    const uint64_t offset = first * tiling_->columns + column;
    sum_.Begin(rows, columns);
    for (uint32_t part = 0; part < tiling_->parts; ++part) {
      AscendC::GlobalTensor<T> source;
      source.SetGlobalBuffer(partList_.GetDataPtr<T>(part));
      BroadcastRows(blocks_.Get<float>(), Lse(part), rows);
      AscendC::PipeBarrier<PIPE_V>();
      sum_.Add(source[offset], tiling_->columns, blocks_.Get<float>());
    }
    sum_.Store(output_[offset], tiling_->columns);
  }

  const AttentionUpdateTiling* tiling_;
  AscendC::ListTensorDesc lseList_;
  AscendC::ListTensorDesc partList_;
  AscendC::GlobalTensor<T> output_;
  AscendC::GlobalTensor<float> lseOut_;
  AscendC::TQue<AscendC::TPosition::VECIN, 2> lseQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> lseOutQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> vectors_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> blocks_;
  WeightedSum<T> sum_;
};

}  // namespace npufa
