// Rows between global memory and UB, and numbers of any type read as float.
#pragma once

#include "../../tiling/forward_tiling.h"
#include "row_ops.h"

namespace npufa {

// Whether one copy can have rows with so many elements between them.
template <typename T>
__aicore__ inline bool GapFits(uint64_t elements) {
  return elements * sizeof(T) <= 0xFFFFFFFFull;
}

// Copies `rows` rows of `columns` elements into rows of `pitch` elements; surplus elements of the last block are 0.
template <typename T>
__aicore__ inline void LoadRows(const AscendC::LocalTensor<T>& tile, const AscendC::GlobalTensor<T>& source,
                                uint32_t rows, uint32_t columns, uint64_t sourcePitch, uint32_t pitch) {
  constexpr uint32_t perBlock = BLOCK_BYTES / sizeof(T);
  const uint32_t padded = AlignUp(columns, perBlock);
  // A copy's rows do not overlap: one row for all is copied again and again.
  const bool together = sourcePitch >= columns && GapFits<T>(sourcePitch - columns);
  const uint32_t rowsPerCopy = together ? rows : 1;
  AscendC::DataCopyExtParams copy(static_cast<uint16_t>(rowsPerCopy), columns * sizeof(T),
                                  together ? static_cast<uint32_t>((sourcePitch - columns) * sizeof(T)) : 0,
                                  (pitch - padded) / perBlock, 0);
  AscendC::DataCopyPadExtParams<T> pad;
  pad.isPad = true;
  pad.rightPadding = static_cast<uint8_t>(padded - columns);
  for (uint32_t row = 0; row < rows; row += rowsPerCopy) {
    AscendC::DataCopyPad(tile[row * pitch], source[row * sourcePitch], copy, pad);
  }
}

// Copies rows of `columns` elements, `pitch` apart in UB, to rows `targetPitch` apart.
template <typename T>
__aicore__ inline void StoreRows(const AscendC::GlobalTensor<T>& target, const AscendC::LocalTensor<T>& tile,
                                 uint32_t rows, uint32_t columns, uint64_t targetPitch, uint32_t pitch) {
  constexpr uint32_t perBlock = BLOCK_BYTES / sizeof(T);
  const bool together = GapFits<T>(targetPitch - columns);
  const uint32_t rowsPerCopy = together ? rows : 1;
  const AscendC::DataCopyExtParams copy(static_cast<uint16_t>(rowsPerCopy), columns * sizeof(T),
                                        (pitch - AlignUp(columns, perBlock)) / perBlock,
                                        together ? static_cast<uint32_t>((targetPitch - columns) * sizeof(T)) : 0, 0);
  for (uint32_t row = 0; row < rows; row += rowsPerCopy) {
    AscendC::DataCopyPad(target[row * targetPitch], tile[row * pitch], copy);
  }
}

// float to the type of a tensor, and back.
template <typename T>
__aicore__ inline void Narrow(const AscendC::LocalTensor<T>& result, const AscendC::LocalTensor<float>& values,
                              uint32_t count) {
  if constexpr (sizeof(T) == sizeof(float)) {
    AscendC::Muls(result, values, 1.0f, static_cast<int32_t>(count));
  } else {
    AscendC::Cast(result, values, AscendC::RoundMode::CAST_RINT, count);
  }
}
// The same for `rows` rows of `columns` values; both tiles have `pitch` elements per row.
template <typename T>
__aicore__ inline void NarrowRows(const AscendC::LocalTensor<T>& result, const AscendC::LocalTensor<float>& values,
                                  uint32_t rows, uint32_t columns, uint32_t pitch) {
  const AscendC::UnaryRepeatParams params(1, 1, static_cast<uint8_t>(pitch * sizeof(T) / BLOCK_BYTES),
                                          static_cast<uint8_t>(pitch / FLOATS_PER_BLOCK));
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    const uint64_t width = WordWidth(columns, word);
    if constexpr (sizeof(T) == sizeof(float)) {
      AscendC::Muls(result[word], values[word], 1.0f, width, static_cast<uint8_t>(rows), params);
    } else {
      AscendC::Cast(result[word], values[word], AscendC::RoundMode::CAST_RINT, width, static_cast<uint8_t>(rows),
                    params);
    }
  }
}
template <typename T>
__aicore__ inline void Widen(const AscendC::LocalTensor<float>& result, const AscendC::LocalTensor<T>& values,
                             uint32_t count) {
  if constexpr (sizeof(T) == sizeof(float)) {
    AscendC::Muls(result, values, 1.0f, static_cast<int32_t>(count));
  } else {
    AscendC::Cast(result, values, AscendC::RoundMode::CAST_NONE, count);
  }
}

template <typename T>
__aicore__ inline void WidenRows(const AscendC::LocalTensor<float>& result, const AscendC::LocalTensor<T>& values,
                                 uint32_t rows, uint32_t columns, uint32_t pitch) {
  const AscendC::UnaryRepeatParams params(1, 1, static_cast<uint8_t>(pitch / FLOATS_PER_BLOCK),
                                          static_cast<uint8_t>(pitch * sizeof(T) / BLOCK_BYTES));
  for (uint32_t word = 0; word < columns; word += FLOATS_PER_REPEAT) {
    const uint64_t width = WordWidth(columns, word);
    if constexpr (sizeof(T) == sizeof(float)) {
      AscendC::Muls(result[word], values[word], 1.0f, width, static_cast<uint8_t>(rows), params);
    } else {
      AscendC::Cast(result[word], values[word], AscendC::RoundMode::CAST_NONE, width, static_cast<uint8_t>(rows),
                    params);
    }
  }
}

// What follows on the second pipe of an event waits for what the first one has to do.
template <AscendC::HardEvent EVENT>
__aicore__ inline void OrderPipes() {
  const auto event = GetTPipePtr()->FetchEventID(EVENT);
  AscendC::SetFlag<EVENT>(event);
  AscendC::WaitFlag<EVENT>(event);
}

// Copies the first of `count` values to all of them.
__aicore__ inline void SpreadFirst(const AscendC::LocalTensor<float>& values, uint32_t count) {
  OrderPipes<AscendC::HardEvent::V_S>();
  const float value = values.GetValue(0);
  OrderPipes<AscendC::HardEvent::S_V>();
  AscendC::Duplicate(values, value, static_cast<int32_t>(count));
  AscendC::PipeBarrier<PIPE_V>();
}

// Numbers that are ever read at once: per channel, or per row of one vector core.
__aicore__ inline uint32_t NumberCapacity(const ForwardTiling& tiling) {
  return AlignUp(Max(Max(tiling.headDim, tiling.valueDim), CUBE_BLOCK / 2), FLOATS_PER_REPEAT);
}

// float32 numbers from global memory.
class NumberReader {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, uint32_t capacity) {
    pipe.InitBuffer(queue_, 1, capacity * sizeof(float));
  }

  // Numbers [first, first + count) of a tensor.
  __aicore__ inline void Read(const AscendC::LocalTensor<float>& result, GM_ADDR source, uint64_t first,
                              uint32_t count) {
    AscendC::GlobalTensor<float> numbers;
    numbers.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(source));
    AscendC::LocalTensor<float> raw = queue_.AllocTensor<float>();
    LoadRows(raw, numbers[first], 1, count, count, AlignUp(count, FLOATS_PER_BLOCK));
    queue_.EnQue(raw);
    raw = queue_.DeQue<float>();
    Widen(result, raw, count);
    queue_.FreeTensor(raw);
    AscendC::PipeBarrier<PIPE_V>();
  }

 private:
  AscendC::TQue<AscendC::TPosition::VECIN, 1> queue_;
};

}  // namespace npufa
