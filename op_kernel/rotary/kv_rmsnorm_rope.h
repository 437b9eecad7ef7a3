// Latent rows of MLA: normalises one part, rotates the other, and writes both to paged caches.
#pragma once

#include "../cache/paged_rows.h"
#include "../tiling/kv_rmsnorm_rope_tiling.h"
#include "rotation.h"

namespace npufa {

// Where the rows of keys or of values go.
struct LatentTarget {
  GM_ADDR cache;
  GM_ADDR scale;   // null: the cache has the type of kv
  GM_ADDR offset;  // null: none is added
  GM_ADDR output;
};

struct KvRmsnormRopeArguments {
  GM_ADDR kv;
  GM_ADDR values;
  GM_ADDR gamma;
  GM_ADDR cosines;
  GM_ADDR sines;
  GM_ADDR index;
  LatentTarget key;
  LatentTarget value;
};

// Rows of keys or of values: without `split` the turned and the normalised part of a row of kv.
template <typename T>
struct LatentPart {
  uint32_t columns;
  uint32_t pitch;
  AscendC::GlobalTensor<T> output;
  PagedRows cache;
  const PagedRowsTiling* rows;
  bool quantised;
  bool shifted;
  AscendC::TBuf<AscendC::TPosition::VECCALC> scale;
  AscendC::TBuf<AscendC::TPosition::VECCALC> offset;
};

template <typename T>
class KvRmsnormRope {
 public:
  __aicore__ inline void Run(const KvRmsnormRopeArguments& arguments, const KvRmsnormRopeTiling& tiling) {
    tiling_ = &tiling;
    kvWidth_ = tiling.normColumns + (tiling.split != 0 ? 0 : tiling.ropeColumns);
    kv_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.kv));
    valueRows_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.values));
    angles_[0].SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.cosines));
    angles_[1].SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.sines));
    index_.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(arguments.index));
    AscendC::TPipe pipe;
    pipe.InitBuffer(inQueue_, 2, RMSNORM_FLOATS * sizeof(T));
    pipe.InitBuffer(outQueue_, 2, RMSNORM_FLOATS * sizeof(T));
    pipe.InitBuffer(values_, RMSNORM_FLOATS * sizeof(float));
    pipe.InitBuffer(squares_, RMSNORM_FLOATS * sizeof(float));
    pipe.InitBuffer(halves_, RMSNORM_FLOATS * sizeof(half));
    pipe.InitBuffer(sums_, (PartialFloats(RMSNORM_FLOATS) + FLOATS_PER_REPEAT) * sizeof(float));
    pipe.InitBuffer(blocks_, RMSNORM_ROWS * BLOCK_BYTES);
    Init(pipe, value_, tiling.valueColumns, tiling.norm, arguments.value);
    Init(pipe, key_, tiling.keyColumns, tiling.rope, arguments.key);
    normPitch_ = RowPitch(tiling.normColumns);
    pipe.InitBuffer(gamma_, normPitch_ * sizeof(float));
    for (uint32_t i = 0; i < 2; ++i) pipe.InitBuffer(factors_[i], RMSNORM_ROWS * key_.pitch * sizeof(float));
    rotation_.Init(pipe, ROTARY_DEINTERLEAVE, tiling.ropeColumns, key_.pitch, RMSNORM_ROWS * key_.pitch, false);
    // Whole blocks of rows are broadcast, also where a tile has fewer.
    AscendC::Duplicate(sums_.Get<float>(), 1.0f, static_cast<int32_t>(FLOATS_PER_REPEAT));
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::GlobalTensor<T> gamma;
    gamma.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.gamma));
    Load(gamma_.Get<float>(), gamma, 1, tiling.normColumns, tiling.normColumns, normPitch_);

    const uint64_t tiles = (tiling.tokens + tiling.tileRows - 1) / tiling.tileRows;
    const uint64_t core = static_cast<uint64_t>(AscendC::GetBlockIdx()), cores = AscendC::GetBlockNum();
    for (uint64_t tile = tiles * core / cores; tile < tiles * (core + 1) / cores; ++tile) {
      const uint64_t token = tile * tiling.tileRows;
      const uint32_t rows = static_cast<uint32_t>(Min(static_cast<uint64_t>(tiling.tileRows), tiling.tokens - token));
      FindSlots(token, rows);
      if (tiling.split != 0) {
        MoveSplit(token, rows);
      } else {
        MoveParts(token, rows);
      }
    }
  }

 private:
  static constexpr float INT8_MIN_VALUE = -128.0f;
  static constexpr float INT8_MAX_VALUE = 127.0f;

  __aicore__ inline void Init(AscendC::TPipe& pipe, LatentPart<T>& part, uint32_t columns, const PagedRowsTiling& rows,
                              const LatentTarget& target) {
    part.columns = columns;
    part.pitch = RowPitch(columns);
    part.rows = &rows;
    part.cache.Init(nullptr, target.cache, rows, tiling_->blockSize);
    part.output.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(target.output));
    part.quantised = target.scale != nullptr;
    part.shifted = target.offset != nullptr;
    if (part.quantised) LoadColumns(pipe, part.scale, target.scale, part);
    if (part.shifted) LoadColumns(pipe, part.offset, target.offset, part);
  }

  // A number for each column; those behind the last take part in nothing.
  __aicore__ inline void LoadColumns(AscendC::TPipe& pipe, AscendC::TBuf<AscendC::TPosition::VECCALC>& buffer,
                                     GM_ADDR numbers, const LatentPart<T>& part) {
    pipe.InitBuffer(buffer, part.pitch * sizeof(float));
    AscendC::GlobalTensor<float> source;
    source.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(numbers));
    LoadRows(buffer.template Get<float>(), source, 1, part.columns, part.columns, part.pitch);
    const auto event = GetTPipePtr()->FetchEventID(AscendC::HardEvent::MTE2_V);
    AscendC::SetFlag<AscendC::HardEvent::MTE2_V>(event);
    AscendC::WaitFlag<AscendC::HardEvent::MTE2_V>(event);
  }

  // Columns behind the last are `rest`.
  __aicore__ inline void Load(const AscendC::LocalTensor<float>& result, const AscendC::GlobalTensor<T>& source,
                              uint32_t rows, uint32_t columns, uint64_t sourcePitch, uint32_t pitch,
                              float rest = 0.0f) {
    AscendC::LocalTensor<T> raw = inQueue_.template AllocTensor<T>();
    LoadRows(raw, source, rows, columns, sourcePitch, pitch);
    inQueue_.EnQue(raw);
    raw = inQueue_.template DeQue<T>();
    AscendC::Duplicate(result, rest, static_cast<int32_t>(rows * pitch));
    AscendC::PipeBarrier<PIPE_V>();
    WidenRows(result, raw, rows, columns, pitch);
    inQueue_.FreeTensor(raw);
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void FindSlots(uint64_t token, uint32_t rows) {
    for (uint32_t row = 0; row < rows; ++row) {
      const uint64_t sequence = (token + row) / tiling_->sequenceTokens,
                     within = (token + row) % tiling_->sequenceTokens;
      const uint64_t blockSize = static_cast<uint64_t>(tiling_->blockSize);
      const uint64_t blocks = (tiling_->sequenceTokens + blockSize - 1) / blockSize;
      const uint64_t entry = tiling_->indexPerBlock != 0 ? sequence * blocks + within / blockSize : token + row;
      int64_t slot = index_.GetValue(entry);
      if (slot >= tiling_->slots) AscendC::Trap();
      if (slot >= 0 && tiling_->indexPerBlock != 0) {
        slot = slot / tiling_->blockSize * tiling_->blockSize + static_cast<int64_t>(within % blockSize);
      }
      if (slot >= 0 && tiling_->indexInSequence != 0) slot += static_cast<int64_t>(sequence) * tiling_->blockSize;
      slots_[row] = slot;
    }
  }

  // The two parts of rows of kv.
  __aicore__ inline void MoveParts(uint64_t token, uint32_t rows) {
    const AscendC::LocalTensor<float> values = values_.Get<float>();
    Normalise(values, token, rows);
    Store(value_, values, token, rows);
    LoadAngles(token, rows);
    Load(values, kv_[token * kvWidth_ + tiling_->normColumns], rows, key_.columns, kvWidth_, key_.pitch);
    Rotate(values, rows);
    Store(key_, values, token, rows);
  }

  // Keys from kv, values as they are.
  __aicore__ inline void MoveSplit(uint64_t token, uint32_t rows) {
    const AscendC::LocalTensor<float> values = values_.Get<float>();
    LoadAngles(token, rows);
    Normalise(values, token, rows);
    Rotate(values, rows);
    Store(key_, values, token, rows);
    Load(values, valueRows_[token * value_.columns], rows, value_.columns, value_.columns, value_.pitch);
    Store(value_, values, token, rows);
  }

  __aicore__ inline void Normalise(const AscendC::LocalTensor<float>& values, uint64_t token, uint32_t rows) {
    const AscendC::LocalTensor<float> squares = squares_.Get<float>();
    const AscendC::LocalTensor<float> sums = sums_.Get<float>(), partial = sums[FLOATS_PER_REPEAT];
    const uint32_t columns = tiling_->normColumns;
    Load(values, kv_[token * kvWidth_], rows, columns, kvWidth_, normPitch_);
    AscendC::Mul(squares, values, values, static_cast<int32_t>(rows * normPitch_));
    AscendC::PipeBarrier<PIPE_V>();
    ReduceRows<SumOf>(sums, squares, partial, rows, normPitch_);
    AscendC::PipeBarrier<PIPE_V>();
    const int32_t count = static_cast<int32_t>(rows);
    AscendC::Muls(sums, sums, 1.0f / static_cast<float>(columns), count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Adds(sums, sums, tiling_->epsilon, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Sqrt(sums, sums, count);
    AscendC::PipeBarrier<PIPE_V>();
    BroadcastRows(blocks_.Get<float>(), sums, rows);
    AscendC::PipeBarrier<PIPE_V>();
    DivideRows(values, blocks_.Get<float>(), rows, columns, normPitch_);
    AscendC::PipeBarrier<PIPE_V>();
    MultiplyColumns(values, gamma_.Get<float>(), rows, columns, normPitch_);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Columns behind those that turn stay: their cosine is 1, their sine 0.
  __aicore__ inline void LoadAngles(uint64_t token, uint32_t rows) {
    const uint32_t columns = tiling_->ropeColumns;
    for (uint32_t i = 0; i < 2; ++i) {
      Load(factors_[i].template Get<float>(), angles_[i][token * columns], rows, columns, columns, key_.pitch,
           i == 0 ? 1.0f : 0.0f);
    }
    rotation_.PrepareSines(factors_[1].template Get<float>(), rows);
  }

  __aicore__ inline void Rotate(const AscendC::LocalTensor<float>& values, uint32_t rows) {
    rotation_.Apply(values, factors_[0].template Get<float>(), factors_[1].template Get<float>(), rows, false);
  }

  __aicore__ inline void Store(LatentPart<T>& part, const AscendC::LocalTensor<float>& values, uint64_t token,
                               uint32_t rows) {
    if (tiling_->hasOutputs != 0 || !part.quantised) {
      AscendC::LocalTensor<T> out = outQueue_.template AllocTensor<T>();
      NarrowRows(out, values, rows, part.columns, part.pitch);
      outQueue_.EnQue(out);
      out = outQueue_.template DeQue<T>();
      if (tiling_->hasOutputs != 0) {
        StoreRows(part.output[token * part.columns], out, rows, part.columns, part.columns, part.pitch);
      }
      if (!part.quantised) StoreToCache(part, out.template ReinterpretCast<int8_t>(), rows, part.pitch * sizeof(T));
      outQueue_.FreeTensor(out);
      AscendC::PipeBarrier<PIPE_V>();
    }
    if (part.quantised) StoreQuantised(part, values, rows);
  }

  __aicore__ inline void StoreToCache(const LatentPart<T>& part, const PagedRows::Bytes& bytes, uint32_t rows,
                                      uint32_t pitch) {
    for (uint32_t row = 0; row < rows; ++row) {
      if (slots_[row] < 0) continue;
      part.cache.StoreToCache(bytes[row * pitch], {0, 1, 0, part.rows->rowBytes}, slots_[row]);
    }
  }

  // Rounded as float: half would round twice.
  __aicore__ inline void StoreQuantised(LatentPart<T>& part, const AscendC::LocalTensor<float>& values, uint32_t rows) {
    const int32_t count = static_cast<int32_t>(rows * part.pitch);
    const AscendC::LocalTensor<half> halves = halves_.Get<half>();
    MultiplyColumns(values, part.scale.template Get<float>(), rows, part.columns, part.pitch);
    AscendC::PipeBarrier<PIPE_V>();
    if (part.shifted) {
      AddColumns(values, part.offset.template Get<float>(), rows, part.columns, part.pitch);
      AscendC::PipeBarrier<PIPE_V>();
    }
    AscendC::Maxs(values, values, INT8_MIN_VALUE, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mins(values, values, INT8_MAX_VALUE, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Cast(values, values, AscendC::RoundMode::CAST_RINT, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Cast(halves, values, AscendC::RoundMode::CAST_NONE, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::LocalTensor<int8_t> out = outQueue_.template AllocTensor<int8_t>();
    AscendC::Cast(out, halves, AscendC::RoundMode::CAST_RINT, count);
    outQueue_.EnQue(out);
    out = outQueue_.template DeQue<int8_t>();
    StoreToCache(part, out, rows, part.pitch);
    outQueue_.FreeTensor(out);
    AscendC::PipeBarrier<PIPE_V>();
  }

  const KvRmsnormRopeTiling* tiling_;
  AscendC::GlobalTensor<T> kv_;
  AscendC::GlobalTensor<T> valueRows_;  // values of their own
  AscendC::GlobalTensor<T> angles_[2];
  AscendC::GlobalTensor<int64_t> index_;
  AscendC::TQue<AscendC::TPosition::VECIN, 2> inQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 2> outQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> values_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> squares_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> halves_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> sums_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> blocks_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> gamma_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> factors_[2];
  LatentPart<T> value_;
  LatentPart<T> key_;
  Rotation rotation_;
  uint64_t kvWidth_;
  uint32_t normPitch_;
  int64_t slots_[RMSNORM_ROWS];
};

}  // namespace npufa
