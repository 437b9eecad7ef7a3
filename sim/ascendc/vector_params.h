// Parameters of vector instructions: strides, modes and orders, with the names, fields and defaults of CANN 8.x.
#pragma once

#include "constants.h"
#include "macros.h"
#include "vector_ops.h"

namespace AscendC {

constexpr uint64_t MASK_PLACEHOLDER = 0;
constexpr uint64_t MASK_PLACEHOLDER_LIST[2] = {0, 0};

enum class MaskMode : uint8_t { NORMAL = 0, COUNTER };

enum class RoundMode : uint8_t { CAST_NONE = 0, CAST_RINT, CAST_FLOOR, CAST_CEIL, CAST_ROUND, CAST_TRUNC, CAST_ODD };

enum class CMPMODE : uint8_t { LT = 0, GT, EQ, LE, GE, NE };

enum class SELMODE : uint8_t { VSEL_CMPMASK_SPR = 0, VSEL_TENSOR_SCALAR_MODE, VSEL_TENSOR_TENSOR_MODE };

enum class ReduceOrder : uint8_t { ORDER_VALUE_INDEX = 0, ORDER_INDEX_VALUE, ORDER_ONLY_VALUE, ORDER_ONLY_INDEX };

enum class GatherMaskMode : uint8_t { VERSION_V1 = 0, VERSION_V2 = 1 };
constexpr GatherMaskMode defaultGatherMaskMode = GatherMaskMode::VERSION_V2;

// Strides count blocks of 32 bytes: between the blocks of a repeat, and between equal blocks of successive repeats.
struct UnaryRepeatParams {
  using Field8 = npufa_sim::Field<uint8_t>;
  using Field16 = npufa_sim::Field<uint16_t>;

  UnaryRepeatParams() = default;
  UnaryRepeatParams(Field16 dstBlkStrideIn, Field16 srcBlkStrideIn, Field8 dstRepStrideIn, Field8 srcRepStrideIn,
                    bool halfBlockIn = false)
      : dstBlkStride(dstBlkStrideIn), srcBlkStride(srcBlkStrideIn), dstRepStride(dstRepStrideIn),
        srcRepStride(srcRepStrideIn), halfBlock(halfBlockIn) {}

  uint32_t blockNumber = DEFAULT_BLK_NUM;
  Field16 dstBlkStride = DEFAULT_BLK_STRIDE;
  Field16 srcBlkStride = DEFAULT_BLK_STRIDE;
  Field8 dstRepStride = DEFAULT_REPEAT_STRIDE;
  Field8 srcRepStride = DEFAULT_REPEAT_STRIDE;
  bool repeatStrideMode = false;
  bool strideSizeMode = false;
  bool halfBlock = false;
};

struct BinaryRepeatParams {
  using Field8 = npufa_sim::Field<uint8_t>;

  BinaryRepeatParams() = default;
  BinaryRepeatParams(Field8 dstBlkStrideIn, Field8 src0BlkStrideIn, Field8 src1BlkStrideIn, Field8 dstRepStrideIn,
                     Field8 src0RepStrideIn, Field8 src1RepStrideIn)
      : dstBlkStride(dstBlkStrideIn), src0BlkStride(src0BlkStrideIn), src1BlkStride(src1BlkStrideIn),
        dstRepStride(dstRepStrideIn), src0RepStride(src0RepStrideIn), src1RepStride(src1RepStrideIn) {}

  uint32_t blockNumber = DEFAULT_BLK_NUM;
  Field8 dstBlkStride = DEFAULT_BLK_STRIDE;
  Field8 src0BlkStride = DEFAULT_BLK_STRIDE;
  Field8 src1BlkStride = DEFAULT_BLK_STRIDE;
  Field8 dstRepStride = DEFAULT_REPEAT_STRIDE;
  Field8 src0RepStride = DEFAULT_REPEAT_STRIDE;
  Field8 src1RepStride = DEFAULT_REPEAT_STRIDE;
  bool repeatStrideMode = false;
  bool strideSizeMode = false;
};

struct CopyRepeatParams {
  using Field16 = npufa_sim::Field<uint16_t>;

  CopyRepeatParams() = default;
  CopyRepeatParams(Field16 dstStrideIn, Field16 srcStrideIn, Field16 dstRepeatSizeIn, Field16 srcRepeatSizeIn)
      : dstStride(dstStrideIn), srcStride(srcStrideIn), dstRepeatSize(dstRepeatSizeIn), srcRepeatSize(srcRepeatSizeIn) {
  }

  Field16 dstStride = 0;
  Field16 srcStride = 0;
  Field16 dstRepeatSize = DEFAULT_REPEAT_STRIDE;
  Field16 srcRepeatSize = DEFAULT_REPEAT_STRIDE;
};

struct BrcbRepeatParams {
  using Field8 = npufa_sim::Field<uint8_t>;
  using Field16 = npufa_sim::Field<uint16_t>;

  BrcbRepeatParams() = default;
  BrcbRepeatParams(Field16 dstBlkStrideIn, Field16 dstRepStrideIn)
      : dstRepStride(dstRepStrideIn), dstBlkStride(dstBlkStrideIn) {}

  uint32_t blockNumber = DEFAULT_BLK_NUM;
  Field16 dstRepStride = DEFAULT_REPEAT_STRIDE;
  Field16 dstBlkStride = DEFAULT_BLK_STRIDE;
  Field8 src0BlkStride = DEFAULT_BLK_STRIDE;
  Field8 src1BlkStride = DEFAULT_BLK_STRIDE;
  Field8 src0RepStride = DEFAULT_REPEAT_STRIDE;
  Field8 src1RepStride = DEFAULT_REPEAT_STRIDE;
  bool repeatStrideMode = false;
  bool strideSizeMode = false;
};

struct GatherRepeatParams {
  using Field8 = npufa_sim::Field<uint8_t>;
  using Field16 = npufa_sim::Field<uint16_t>;

  GatherRepeatParams() = default;
  GatherRepeatParams(Field8 dstBlkStrideIn, Field8 dstRepStrideIn)
      : dstRepStride(dstRepStrideIn), dstBlkStride(dstBlkStrideIn) {}

  uint32_t blockNumber = DEFAULT_BLK_NUM;
  Field16 dstRepStride = DEFAULT_REPEAT_STRIDE;
  Field8 dstBlkStride = DEFAULT_BLK_STRIDE;
  Field8 src0BlkStride = DEFAULT_BLK_STRIDE;
  Field8 src1BlkStride = DEFAULT_BLK_STRIDE;
  Field8 src0RepStride = DEFAULT_REPEAT_STRIDE;
  Field8 src1RepStride = DEFAULT_REPEAT_STRIDE;
  bool repeatStrideMode = false;
  bool strideSizeMode = false;
};

struct GatherMaskParams {
  using Field8 = npufa_sim::Field<uint8_t>;
  using Field16 = npufa_sim::Field<uint16_t>;

  GatherMaskParams() = default;
  GatherMaskParams(Field8 src0BlockStrideIn, Field16 repeatTimesIn, Field16 src0RepeatStrideIn,
                   Field8 src1RepeatStrideIn)
      : src0BlockStride(src0BlockStrideIn), repeatTimes(repeatTimesIn), src0RepeatStride(src0RepeatStrideIn),
        src1RepeatStride(src1RepeatStrideIn) {}

  Field8 src0BlockStride = DEFAULT_BLK_STRIDE;
  Field16 repeatTimes = 0;
  Field16 src0RepeatStride = DEFAULT_REPEAT_STRIDE;
  Field8 src1RepeatStride = DEFAULT_REPEAT_STRIDE;
};

struct TransDataTo5HDParams {
  using Field8 = npufa_sim::Field<uint8_t>;
  using Field16 = npufa_sim::Field<uint16_t>;

  TransDataTo5HDParams() = default;
  TransDataTo5HDParams(bool dstHighHalfIn, bool srcHighHalfIn, Field8 repeatTimesIn, Field16 dstRepStrideIn,
                       Field16 srcRepStrideIn)
      : dstHighHalf(dstHighHalfIn), srcHighHalf(srcHighHalfIn), repeatTimes(repeatTimesIn),
        dstRepStride(dstRepStrideIn), srcRepStride(srcRepStrideIn) {}

  bool dstHighHalf = false;
  bool srcHighHalf = false;
  Field8 repeatTimes = 1;
  Field16 dstRepStride = 0;
  Field16 srcRepStride = 0;
};

}  // namespace AscendC

namespace npufa_sim {

// Strides of one operand from the fields of a parameter struct.
template <class Block, class Repeat>
OperandStride StrideOf(Field<Block> block, Field<Repeat> repeat) {
  return {block.value(), repeat.value(), Field<Block>::kMax, Field<Repeat>::kMax};
}

}  // namespace npufa_sim
