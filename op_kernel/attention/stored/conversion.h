// Stored int8, float8 or int4 rows to rows of T in the workspace, from where the cube reads them: value = (stored +
// offset) * scale, or Float8 without scales.
#pragma once

#include "../call/workspace.h"
#include "antiquant_scales.h"
#include "float8.h"

namespace npufa {

// Bytes of `elements` stored elements.
template <typename Stored>
__aicore__ inline uint64_t StoredBytes(uint64_t elements) {
  if constexpr (SameType<Stored, AscendC::int4b_t>::value) {
    return elements / 2;
  } else {
    return elements;
  }
}

// What a byte is for the vector unit.
template <typename Stored>
struct StoredElement {
  using Type = Stored;
};
template <>
struct StoredElement<Float8> {
  using Type = int8_t;
};

template <typename T, typename Stored>
class Conversion {
 public:
  using OutQueue = AscendC::TQue<AscendC::TPosition::VECOUT, 1>;

  // `outQueue` holds tiles of chunkFloats elements of T.
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, OutQueue& outQueue) {
    tiling_ = &tiling;
    outQueue_ = &outQueue;
    pipe.InitBuffer(rawQueue_, 2, tiling.chunkFloats);
    pipe.InitBuffer(halves_, (tiling.chunkFloats + Float8Fields::SCRATCH_GAP) * sizeof(half));
    if constexpr (!SCALES_APART) pipe.InitBuffer(floats_, tiling.chunkFloats * sizeof(float));
    if (tiling.float8 != FLOAT8_NONE) float8_.Init(pipe, tiling);
  }

  // Rows of at most this many can be converted at once.
  __aicore__ inline uint32_t RowsAtOnce(uint32_t channels) const {
    constexpr uint32_t most = SCALES_APART ? MOST_REPEATS : AntiquantScales::MAX_ROWS;
    return Min(tiling_->chunkFloats / AlignUp(channels, FLOATS_PER_REPEAT), most);
  }

  __aicore__ inline AscendC::LocalTensor<uint8_t> Alloc() { return rawQueue_.template AllocTensor<uint8_t>(); }

  // Rows from `row` on of a raw tile: `rows` stored rows of `channels` elements, `pitch` elements apart.
  __aicore__ inline static void Load(const AscendC::LocalTensor<uint8_t>& raw, uint32_t row, GM_ADDR source,
                                     uint64_t offset, uint64_t pitch, uint32_t rows, uint32_t channels) {
    AscendC::GlobalTensor<uint8_t> bytes;
    bytes.SetGlobalBuffer(reinterpret_cast<__gm__ uint8_t*>(source));
    const uint32_t tilePitch = static_cast<uint32_t>(StoredBytes<Stored>(AlignUp(channels, FLOATS_PER_REPEAT)));
    LoadRows(raw[row * tilePitch], bytes[StoredBytes<Stored>(offset)], rows,
             static_cast<uint32_t>(StoredBytes<Stored>(channels)), StoredBytes<Stored>(pitch), tilePitch);
  }

  // The same from an NZ cache: 32 bytes of every row, then the next, `columnPitch` bytes behind the first.
  __aicore__ inline static void LoadColumns(const AscendC::LocalTensor<uint8_t>& raw, uint32_t row, GM_ADDR source,
                                            uint64_t offset, uint64_t columnPitch, uint32_t rows, uint32_t channels) {
    AscendC::GlobalTensor<uint8_t> bytes;
    bytes.SetGlobalBuffer(reinterpret_cast<__gm__ uint8_t*>(source));
    const uint32_t tilePitch = AlignUp(channels, FLOATS_PER_REPEAT);
    for (uint32_t channel = 0; channel < channels; channel += BLOCK_BYTES) {
      LoadRows(raw[row * tilePitch + channel], bytes[offset], rows, BLOCK_BYTES, BLOCK_BYTES, tilePitch);
      offset += columnPitch;
    }
  }

  // Converts a loaded tile of keys [key, key + rows) and stores it. `scales` may be null: the numbers themselves.
  __aicore__ inline void Finish(AscendC::LocalTensor<uint8_t>& raw, AntiquantScales* scales, const Sequence& sequence,
                                uint32_t head, uint32_t key, uint32_t rows, uint32_t channels,
                                const AscendC::GlobalTensor<T>& target, uint32_t targetPitch) {
    const uint32_t pitch = AlignUp(channels, FLOATS_PER_REPEAT);
    rawQueue_.EnQue(raw);
    raw = rawQueue_.template DeQue<uint8_t>();
    AscendC::LocalTensor<T> out = outQueue_->template AllocTensor<T>();
    if constexpr (SCALES_APART) {
      ToHalf(out, raw, halves_.Get<half>(), rows, channels, pitch);
      rawQueue_.FreeTensor(raw);
    } else {
      const AscendC::LocalTensor<half> halves = halves_.Get<half>();
      const AscendC::LocalTensor<float> floats = floats_.Get<float>();
      ToHalf(halves, raw, floats.ReinterpretCast<half>(), rows, channels, pitch);
      rawQueue_.FreeTensor(raw);
      WidenRows(floats, halves, rows, channels, pitch);
      AscendC::PipeBarrier<PIPE_V>();
      if (tiling_->float8 == FLOAT8_E4M3) {
        MultiplyAll(floats, Float8Unit(*tiling_), rows, channels, pitch);
        AscendC::PipeBarrier<PIPE_V>();
      }
      if (scales != nullptr) scales->Apply(floats, sequence, head, key, rows, pitch);
      NarrowRows(out, floats, rows, channels, pitch);
    }
    outQueue_->EnQue(out);
    out = outQueue_->template DeQue<T>();
    StoreRows(target, out, rows, channels, targetPitch, pitch);
    outQueue_->FreeTensor(out);
  }

 private:
  using Element = typename StoredElement<Stored>::Type;
  static constexpr bool SCALES_APART = ScalesApart<Stored>::value;
  static constexpr uint32_t HALVES_PER_REPEAT = 128;
  static constexpr uint32_t MOST_REPEATS = 255;

  // `scratch` is larger than `halves` by SCRATCH_GAP.
  __aicore__ inline void ToHalf(const AscendC::LocalTensor<half>& halves, const AscendC::LocalTensor<uint8_t>& raw,
                                const AscendC::LocalTensor<half>& scratch, uint32_t rows, uint32_t channels,
                                uint32_t pitch) {
    const AscendC::LocalTensor<Element> stored = raw.ReinterpretCast<Element>();
    const AscendC::UnaryRepeatParams params(1, 1, static_cast<uint8_t>(pitch / FRACTAL),
                                            static_cast<uint8_t>(StoredBytes<Stored>(pitch) / BLOCK_BYTES));
    for (uint32_t word = 0; word < channels; word += HALVES_PER_REPEAT) {
      const uint64_t width = Min(HALVES_PER_REPEAT, channels - word);
      AscendC::Cast(halves[word], stored[word], AscendC::RoundMode::CAST_NONE, width, static_cast<uint8_t>(rows),
                    params);
    }
    AscendC::PipeBarrier<PIPE_V>();
    if (tiling_->float8 != FLOAT8_NONE) float8_.Widen(halves, scratch, rows, channels, pitch);
  }

  const ForwardTiling* tiling_;
  OutQueue* outQueue_;
  Float8Fields float8_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> rawQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> halves_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> floats_;
};

}  // namespace npufa
