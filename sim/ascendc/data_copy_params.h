// Parameters of DataCopy and DataCopyPad. Block strides are gaps: from the end of one block to the start of the next.
#pragma once

#include <cstdint>

#include "field.h"

// What the fixpipe does to an element on its way out of L0C.
enum QuantMode_t {
  NoQuant = 0,
  F322F16,       // float to half
  F322BF16,      // float to bfloat16_t
  DEQF16,        // int32_t to half, one scale
  VDEQF16,       // int32_t to half, a scale per column
  QF322B8_PRE,   // float to 8 bits, one scale
  VQF322B8_PRE,  // float to 8 bits, a scale per column
  REQ8,          // int32_t to 8 bits, one scale
  VREQ8,         // int32_t to 8 bits, a scale per column
};

enum class pad_t { PAD_NONE = 0 };

namespace AscendC {

// Units of 32 bytes between GM and a local memory; of 64 bytes (bias table) and 128 bytes (fixpipe buffer) from L1.
// DataCopyPad: blockLen and the GM gap in bytes, the UB gap in 32 bytes.
struct DataCopyParams {
  DataCopyParams() {}
  DataCopyParams(const uint16_t count, const uint16_t len, const uint16_t srcStrideIn, const uint16_t dstStrideIn)
      : blockCount(count), blockLen(len), srcStride(srcStrideIn), dstStride(dstStrideIn) {}

  npufa_sim::Field<uint16_t> blockCount = 1;
  npufa_sim::Field<uint16_t> blockLen = 0;
  npufa_sim::Field<uint16_t> srcStride = 0;
  npufa_sim::Field<uint16_t> dstStride = 0;
};

enum class BlockMode : uint8_t {
  BLOCK_MODE_NORMAL = 0,
  BLOCK_MODE_MATRIX,
  BLOCK_MODE_VECTOR,
  BLOCK_MODE_SMALL_CHANNEL,
  BLOCK_MODE_DEPTHWISE,
};

enum class DeqScale : uint8_t { DEQ_NONE = 0, DEQ, VDEQ, DEQ8, VDEQ8, DEQ16, VDEQ16 };

struct DataCopyEnhancedParams {
  DataCopyEnhancedParams() {}
  DataCopyEnhancedParams(const BlockMode blockModeIn, const DeqScale deqScaleIn, const uint64_t deqValueIn,
                         const uint8_t sidStoreModeIn, const bool isReluIn, const pad_t padModeIn,
                         const uint64_t padValueIn)
      : blockMode(blockModeIn), deqScale(deqScaleIn), deqValue(deqValueIn), sidStoreMode(sidStoreModeIn),
        isRelu(isReluIn), padMode(padModeIn), padValue(padValueIn) {}

  BlockMode blockMode = BlockMode::BLOCK_MODE_NORMAL;
  DeqScale deqScale = DeqScale::DEQ_NONE;
  uint64_t deqValue = 0;
  npufa_sim::Field<uint8_t> sidStoreMode = 0;
  bool isRelu = false;
  pad_t padMode = pad_t::PAD_NONE;
  uint64_t padValue = 0;
  uint64_t deqTensorAddr = 0;
};

// Bytes in GM, 32 bytes in UB.
struct DataCopyExtParams {
  DataCopyExtParams() {}
  DataCopyExtParams(const uint16_t count, const uint32_t len, const uint32_t srcStrideIn, const uint32_t dstStrideIn,
                    const uint32_t rsvIn)
      : blockCount(count), blockLen(len), srcStride(srcStrideIn), dstStride(dstStrideIn), rsv(rsvIn) {}

  npufa_sim::Field<uint16_t> blockCount = 1;
  npufa_sim::Field<uint32_t> blockLen = 0;
  npufa_sim::Field<uint32_t> srcStride = 0;
  npufa_sim::Field<uint32_t> dstStride = 0;
  npufa_sim::Field<uint32_t> rsv = 0;
};

// Paddings count elements.
struct DataCopyPadParams {
  DataCopyPadParams() {}
  DataCopyPadParams(const bool isPadValue, const uint8_t leftPadValue, const uint8_t rightPadValue,
                    const uint64_t padValue)
      : isPad(isPadValue), leftPadding(leftPadValue), rightPadding(rightPadValue), paddingValue(padValue) {}

  bool isPad = false;
  npufa_sim::Field<uint8_t> leftPadding = 0;
  npufa_sim::Field<uint8_t> rightPadding = 0;
  uint64_t paddingValue = 0;
};

template <typename T>
struct DataCopyPadExtParams {
  DataCopyPadExtParams() {}
  DataCopyPadExtParams(const bool isPadValue, const uint8_t leftPadValue, const uint8_t rightPadValue, T padValue)
      : isPad(isPadValue), leftPadding(leftPadValue), rightPadding(rightPadValue), paddingValue(padValue) {}

  bool isPad = false;
  npufa_sim::Field<uint8_t> leftPadding = 0;
  npufa_sim::Field<uint8_t> rightPadding = 0;
  T paddingValue = static_cast<T>(0);
};

// ND rows to NZ: sizes and source strides in elements, dstNzC0Stride and dstNzNStride in 32 bytes.
struct Nd2NzParams {
  Nd2NzParams() {}
  Nd2NzParams(const uint16_t ndNumIn, const uint16_t nValueIn, const uint16_t dValueIn,
              const uint16_t srcNdMatrixStrideIn, const uint16_t srcDValueIn, const uint16_t dstNzC0StrideIn,
              const uint16_t dstNzNStrideIn, const uint16_t dstNzMatrixStrideIn)
      : ndNum(ndNumIn), nValue(nValueIn), dValue(dValueIn), srcNdMatrixStride(srcNdMatrixStrideIn),
        srcDValue(srcDValueIn), dstNzC0Stride(dstNzC0StrideIn), dstNzNStride(dstNzNStrideIn),
        dstNzMatrixStride(dstNzMatrixStrideIn) {}

  npufa_sim::Field<uint16_t> ndNum = 0;
  npufa_sim::Field<uint16_t> nValue = 0;
  npufa_sim::Field<uint16_t> dValue = 0;
  npufa_sim::Field<uint16_t> srcNdMatrixStride = 0;
  npufa_sim::Field<uint16_t> srcDValue = 0;
  npufa_sim::Field<uint16_t> dstNzC0Stride = 0;
  npufa_sim::Field<uint16_t> dstNzNStride = 0;
  npufa_sim::Field<uint16_t> dstNzMatrixStride = 0;
};

// NZ with 16 columns per fractal back to ND: srcNStride in 16 elements, srcNdMatrixStride in 256, the rest in elements.
struct Nz2NdParamsFull {
  Nz2NdParamsFull() {}
  Nz2NdParamsFull(const uint16_t ndNumIn, const uint16_t nValueIn, const uint16_t dValueIn,
                  const uint16_t srcNdMatrixStrideIn, const uint16_t srcNStrideIn, const uint16_t dstDStrideIn,
                  const uint16_t dstNdMatrixStrideIn)
      : ndNum(ndNumIn), nValue(nValueIn), dValue(dValueIn), srcNdMatrixStride(srcNdMatrixStrideIn),
        srcNStride(srcNStrideIn), dstDStride(dstDStrideIn), dstNdMatrixStride(dstNdMatrixStrideIn) {}

  npufa_sim::Field<uint16_t> ndNum = 1;
  npufa_sim::Field<uint16_t> nValue = 0;
  npufa_sim::Field<uint16_t> dValue = 0;
  npufa_sim::Field<uint16_t> srcNdMatrixStride = 1;
  npufa_sim::Field<uint16_t> srcNStride = 0;
  npufa_sim::Field<uint16_t> dstDStride = 0;
  npufa_sim::Field<uint16_t> dstNdMatrixStride = 1;
};

// L0C to GM or L1: srcStride in 16 elements; dstStride in elements of a row (nz2ndEn) or in 32 bytes.
struct DataCopyCO12DstParams {
  DataCopyCO12DstParams() {}
  DataCopyCO12DstParams(const uint16_t nSizeIn, const uint16_t mSizeIn, const uint32_t dstStrideIn,
                        const uint16_t srcStrideIn, const QuantMode_t quantPreIn, const uint8_t reluPreIn,
                        const bool channelSplitIn, const bool nz2ndEnIn)
      : nSize(nSizeIn), mSize(mSizeIn), dstStride(dstStrideIn), srcStride(srcStrideIn), quantPre(quantPreIn),
        reluPre(reluPreIn), channelSplit(channelSplitIn), nz2ndEn(nz2ndEnIn) {}

  npufa_sim::Field<uint8_t> sid = 0;
  npufa_sim::Field<uint16_t> nSize = 0;
  npufa_sim::Field<uint16_t> mSize = 0;
  npufa_sim::Field<uint32_t> dstStride = 0;
  npufa_sim::Field<uint16_t> srcStride = 0;
  npufa_sim::Field<uint8_t> unitFlag = 0;
  npufa_sim::Field<uint8_t> clipReluPre = 0;
  npufa_sim::Field<uint8_t> eltWiseOp = 0;
  QuantMode_t quantPre = QuantMode_t::NoQuant;
  npufa_sim::Field<uint8_t> reluPre = 0;
  bool channelSplit = false;
  bool nz2ndEn = false;
};

// One dimension of a sub-tensor: indices in elements, both ends included, `stride` elements skipped between bursts,
// burstLen in 32 bytes.
struct SliceInfo {
  SliceInfo() {}
  SliceInfo(const uint32_t startIndexIn, const uint32_t endIndexIn, const uint32_t strideIn, const uint32_t burstLenIn,
            const uint32_t shapeValueIn = 0)
      : startIndex(startIndexIn), endIndex(endIndexIn), stride(strideIn), burstLen(burstLenIn),
        shapeValue(shapeValueIn) {}

  npufa_sim::Field<uint32_t> startIndex = 0;
  npufa_sim::Field<uint32_t> endIndex = 31;
  npufa_sim::Field<uint32_t> stride = 0;
  npufa_sim::Field<uint32_t> burstLen = 32;
  npufa_sim::Field<uint32_t> shapeValue = 0;
};

}  // namespace AscendC
