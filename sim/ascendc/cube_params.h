// Parameters of the cube core's instructions: loads into L0, Mmad and Fixpipe.
#pragma once

#include "data_copy_params.h"

namespace AscendC {

constexpr uint8_t PAD_SIZE = 4;

// Fractals of 512 bytes; srcStride from start to start, dstGap from end to start.
struct LoadData2DParams {
  LoadData2DParams() {}
  LoadData2DParams(const uint16_t startIndexIn, const uint8_t repeatTimesIn, const uint16_t srcStrideIn,
                   const uint8_t sidIn, const uint16_t dstGapIn, const bool ifTransposeIn, const uint8_t addrModeIn)
      : startIndex(startIndexIn), dstGap(dstGapIn), srcStride(srcStrideIn), ifTranspose(ifTransposeIn),
        repeatTimes(repeatTimesIn), sid(sidIn), addrMode(addrModeIn) {}

  npufa_sim::Field<uint16_t> startIndex = 0;
  npufa_sim::Field<uint16_t> dstGap = 0;
  npufa_sim::Field<uint16_t> srcStride = 0;
  bool ifTranspose = 0;
  npufa_sim::Field<uint8_t> repeatTimes = 0;
  npufa_sim::Field<uint8_t> sid = 0;
  npufa_sim::Field<uint8_t> addrMode = 0;  // 1: the source index falls from repeat to repeat
};
using LoadData2dParams = LoadData2DParams;

// Of later chips; here so that programs for several of them compile.
struct LoadData2DParamsV2 {
  LoadData2DParamsV2() {}
  LoadData2DParamsV2(const uint32_t mStartPositionIn, const uint32_t kStartPositionIn, const uint16_t mStepIn,
                     const uint16_t kStepIn, const int32_t srcStrideIn, const uint16_t dstStrideIn,
                     const bool ifTransposeIn, const uint8_t sidIn)
      : mStartPosition(mStartPositionIn), kStartPosition(kStartPositionIn), mStep(mStepIn), kStep(kStepIn),
        srcStride(srcStrideIn), dstStride(dstStrideIn), ifTranspose(ifTransposeIn), sid(sidIn) {}

  uint32_t mStartPosition = 0, kStartPosition = 0;
  uint16_t mStep = 0, kStep = 0;
  int32_t srcStride = 0;
  uint16_t dstStride = 0;
  bool ifTranspose = false;
  uint8_t sid = 0;
};

// startIndex and srcStride count square matrices (fractals put together until they are square), gaps 512 bytes.
struct LoadData2dTransposeParams {
  LoadData2dTransposeParams() {}
  LoadData2dTransposeParams(const uint16_t startIndexIn, const uint8_t repeatTimesIn, const uint16_t srcStrideIn,
                            const uint16_t dstGapIn, const uint16_t dstfracGapIn, const uint8_t addrModeIn)
      : startIndex(startIndexIn), repeatTimes(repeatTimesIn), srcStride(srcStrideIn), dstGap(dstGapIn),
        dstFracGap(dstfracGapIn), addrMode(addrModeIn) {}
  LoadData2dTransposeParams(const uint16_t startIndexIn, const uint8_t repeatTimesIn, const uint16_t srcStrideIn,
                            const uint16_t dstGapIn, const uint16_t dstfracGapIn)
      : LoadData2dTransposeParams(startIndexIn, repeatTimesIn, srcStrideIn, dstGapIn, dstfracGapIn, 0) {}

  npufa_sim::Field<uint16_t> startIndex = 0;
  npufa_sim::Field<uint8_t> repeatTimes = 0;
  npufa_sim::Field<uint16_t> srcStride = 0;
  npufa_sim::Field<uint16_t> dstGap = 0;
  npufa_sim::Field<uint16_t> dstFracGap = 0;
  npufa_sim::Field<uint8_t> addrMode = 0;
};

// A window of the matrix that image-to-column makes of the feature map (l1H, l1W, channelSize) in L1.
template <typename T>
struct LoadData3DParamsV2 {
  LoadData3DParamsV2() {}
  LoadData3DParamsV2(const uint8_t padListIn[PAD_SIZE], const uint16_t l1HIn, const uint16_t l1WIn,
                     const uint16_t channelSizeIn, const uint16_t kExtensionIn, const uint16_t mExtensionIn,
                     const uint16_t kStartPtIn, const uint16_t mStartPtIn, const uint8_t strideWIn,
                     const uint8_t strideHIn, const uint8_t filterWIn, const uint8_t filterHIn,
                     const uint8_t dilationFilterWIn, const uint8_t dilationFilterHIn, const bool enTransposeIn,
                     const bool enSmallKIn, const T padValueIn)
      : LoadData3DParamsV2(padListIn, l1HIn, l1WIn, channelSizeIn, kExtensionIn, mExtensionIn, kStartPtIn, mStartPtIn,
                           strideWIn, strideHIn, filterWIn, filterHIn, dilationFilterWIn, dilationFilterHIn,
                           enTransposeIn, enSmallKIn, padValueIn, false, false, false) {}
  LoadData3DParamsV2(const uint8_t padListIn[PAD_SIZE], const uint16_t l1HIn, const uint16_t l1WIn,
                     const uint16_t channelSizeIn, const uint16_t kExtensionIn, const uint16_t mExtensionIn,
                     const uint16_t kStartPtIn, const uint16_t mStartPtIn, const uint8_t strideWIn,
                     const uint8_t strideHIn, const uint8_t filterWIn, const uint8_t filterHIn,
                     const uint8_t dilationFilterWIn, const uint8_t dilationFilterHIn, const bool enTransposeIn,
                     const bool enSmallKIn, const T padValueIn, const bool filterSizeWIn, const bool filterSizeHIn,
                     const bool fMatrixCtrlIn)
      : l1H(l1HIn), l1W(l1WIn), channelSize(channelSizeIn), kExtension(kExtensionIn), mExtension(mExtensionIn),
        kStartPt(kStartPtIn), mStartPt(mStartPtIn), strideW(strideWIn), strideH(strideHIn), filterW(filterWIn),
        filterH(filterHIn), dilationFilterW(dilationFilterWIn), dilationFilterH(dilationFilterHIn),
        enTranspose(enTransposeIn), enSmallK(enSmallKIn), padValue(padValueIn), filterSizeW(filterSizeWIn),
        filterSizeH(filterSizeHIn), fMatrixCtrl(fMatrixCtrlIn) {
    for (int i = 0; i < PAD_SIZE; ++i) padList[i] = padListIn[i];
  }

  uint8_t padList[PAD_SIZE] = {0};  // left, right, top, bottom
  npufa_sim::Field<uint16_t> l1H = 0;
  npufa_sim::Field<uint16_t> l1W = 0;
  npufa_sim::Field<uint16_t> channelSize = 0;
  npufa_sim::Field<uint16_t> kExtension = 0;
  npufa_sim::Field<uint16_t> mExtension = 0;
  npufa_sim::Field<uint16_t> kStartPt = 0;
  npufa_sim::Field<uint16_t> mStartPt = 0;
  npufa_sim::Field<uint8_t> strideW = 1;
  npufa_sim::Field<uint8_t> strideH = 1;
  npufa_sim::Field<uint8_t> filterW = 1;
  npufa_sim::Field<uint8_t> filterH = 1;
  npufa_sim::Field<uint8_t> dilationFilterW = 1;
  npufa_sim::Field<uint8_t> dilationFilterH = 1;
  bool enTranspose = false;
  bool enSmallK = false;
  T padValue = static_cast<T>(0);
  bool filterSizeW = false;
  bool filterSizeH = false;
  bool fMatrixCtrl = false;
};

struct LoadData3DParamsV2Pro {
  LoadData3DParamsV2Pro() {}
  LoadData3DParamsV2Pro(const uint16_t channelSizeIn, const bool enTransposeIn, const bool enSmallKIn,
                        const bool filterSizeWIn, const bool filterSizeHIn, const bool fMatrixCtrlIn,
                        const uint64_t extConfigIn, const uint64_t filterConfigIn)
      : channelSize(channelSizeIn), enTranspose(enTransposeIn), enSmallK(enSmallKIn), filterSizeW(filterSizeWIn),
        filterSizeH(filterSizeHIn), fMatrixCtrl(fMatrixCtrlIn), extConfig(extConfigIn), filterConfig(filterConfigIn) {}

  npufa_sim::Field<uint16_t> channelSize = 0;
  bool enTranspose = false;
  bool enSmallK = false;
  bool filterSizeW = false;
  bool filterSizeH = false;
  bool fMatrixCtrl = false;
  uint64_t extConfig = 0;                 // 16 bits each from the top: mStartPt, kStartPt, mExtension, kExtension
  uint64_t filterConfig = 0x10101010101;  // bytes from the top: dilation h, w, filter h, w, stride h, w
};

struct IsResetLoad3dConfig {
  constexpr IsResetLoad3dConfig(const bool isSetFMatrixIn, const bool isSetPaddingIn)
      : isSetFMatrix(isSetFMatrixIn), isSetPadding(isSetPaddingIn) {}
  bool isSetFMatrix = true;
  bool isSetPadding = true;
};
inline constexpr IsResetLoad3dConfig IS_RESER_LOAD3D_DEFAULT_CONFIG = {true, true};

enum class FmatrixMode : uint8_t { FMATRIX_LEFT = 0, FMATRIX_RIGHT = 1 };

struct LoadDataRepeatParam {
  LoadDataRepeatParam() {}
  LoadDataRepeatParam(const uint16_t repeatStrideIn, const uint8_t repeatTimeIn, const uint8_t repeatModeIn)
      : repeatStride(repeatStrideIn), repeatTime(repeatTimeIn), repeatMode(repeatModeIn) {}

  npufa_sim::Field<uint16_t> repeatStride = 0;  // 16 rows (mode 0) or 32 bytes of columns (mode 1)
  npufa_sim::Field<uint8_t> repeatTime = 1;
  npufa_sim::Field<uint8_t> repeatMode = 0;
  npufa_sim::Field<uint8_t> reserved = 0;
};

// Blocks of 32 bytes in L1, of 512 bytes in L0A and L0B.
template <typename U>
struct InitConstValueParams {
  InitConstValueParams() {}
  InitConstValueParams(const uint16_t repeatTimesIn, const uint16_t blockNumIn, const uint16_t dstGapIn,
                       const U initValueIn)
      : repeatTimes(repeatTimesIn), blockNum(blockNumIn), dstGap(dstGapIn), initValue(initValueIn) {}
  InitConstValueParams(const uint16_t repeatTimesIn, const U initValueIn)
      : repeatTimes(repeatTimesIn), initValue(initValueIn) {}

  npufa_sim::Field<uint16_t> repeatTimes = 0;
  npufa_sim::Field<uint16_t> blockNum = 0;
  npufa_sim::Field<uint16_t> dstGap = 0;
  U initValue = static_cast<U>(0);
};

struct MmadParams {
  MmadParams() {}
  MmadParams(const uint16_t mIn, const uint16_t nIn, const uint16_t kIn, const bool isBiasIn, const int32_t fmOffsetIn,
             const bool enSsparseIn, const bool enWinogradAIn, const bool enWinogradBIn)
      : m(mIn), n(nIn), k(kIn), isBias(isBiasIn), fmOffset(fmOffsetIn), enSsparse(enSsparseIn),
        enWinogradA(enWinogradAIn), enWinogradB(enWinogradBIn) {}
  MmadParams(const uint16_t mIn, const uint16_t nIn, const uint16_t kIn, const uint8_t unitFlagIn,
             const bool cmatrixSourceIn, const bool cmatrixInitValIn)
      : m(mIn), n(nIn), k(kIn), unitFlag(unitFlagIn), cmatrixSource(cmatrixSourceIn), cmatrixInitVal(cmatrixInitValIn) {
  }

  npufa_sim::Field<uint16_t> m = 0;
  npufa_sim::Field<uint16_t> n = 0;
  npufa_sim::Field<uint16_t> k = 0;
  bool isBias = false;  // accumulate onto L0C
  int32_t fmOffset = 0;
  bool enSsparse = false;
  bool enWinogradA = false;
  bool enWinogradB = false;
  npufa_sim::Field<uint8_t> unitFlag = 0;
  bool kDirectionAlign = false;  // float: fractals of K are paired up
  bool cmatrixSource = false;    // accumulate onto the bias table
  bool cmatrixInitVal = true;    // accumulate onto zero
};

enum class CO2Layout : uint8_t { NZ = 0, ROW_MAJOR, COLUMN_MAJOR };

struct FixpipeConfig {
  CO2Layout format;
  bool isToUB = false;
};

inline constexpr FixpipeConfig CFG_NZ = {CO2Layout::NZ};
inline constexpr FixpipeConfig CFG_ROW_MAJOR = {CO2Layout::ROW_MAJOR};
inline constexpr FixpipeConfig CFG_COLUMN_MAJOR = {CO2Layout::COLUMN_MAJOR};

// srcStride in 16 elements; dstStride in elements of a row (ROW_MAJOR) or in 32 bytes (NZ).
struct FixpipeParamsV220 {
  FixpipeParamsV220() {}
  FixpipeParamsV220(const uint16_t nSizeIn, const uint16_t mSizeIn, const uint16_t srcStrideIn,
                    const uint32_t dstStrideIn, const bool reluEnIn)
      : nSize(nSizeIn), mSize(mSizeIn), srcStride(srcStrideIn), dstStride(dstStrideIn), reluEn(reluEnIn) {}
  FixpipeParamsV220(const uint16_t nSizeIn, const uint16_t mSizeIn, const uint16_t srcStrideIn,
                    const uint32_t dstStrideIn, const bool reluEnIn, const QuantMode_t quantPreIn,
                    const int64_t deqScalarIn, const uint16_t ndNumIn, const uint16_t srcNdStrideIn,
                    const uint16_t dstNdStrideIn, const uint8_t unitFlagIn)
      : FixpipeParamsV220(nSizeIn, mSizeIn, srcStrideIn, dstStrideIn, reluEnIn, quantPreIn, deqScalarIn, ndNumIn,
                          srcNdStrideIn, dstNdStrideIn, unitFlagIn, false) {}
  FixpipeParamsV220(const uint16_t nSizeIn, const uint16_t mSizeIn, const uint16_t srcStrideIn,
                    const uint32_t dstStrideIn, const bool reluEnIn, const QuantMode_t quantPreIn,
                    const int64_t deqScalarIn, const uint16_t ndNumIn, const uint16_t srcNdStrideIn,
                    const uint16_t dstNdStrideIn, const uint8_t unitFlagIn, const bool isChannelSplitIn)
      : nSize(nSizeIn), mSize(mSizeIn), srcStride(srcStrideIn), dstStride(dstStrideIn), quantPre(quantPreIn),
        deqScalar(static_cast<uint64_t>(deqScalarIn)), ndNum(ndNumIn), srcNdStride(srcNdStrideIn),
        dstNdStride(dstNdStrideIn), reluEn(reluEnIn), unitFlag(unitFlagIn), isChannelSplit(isChannelSplitIn) {}

  npufa_sim::Field<uint16_t> nSize = 0;
  npufa_sim::Field<uint16_t> mSize = 0;
  npufa_sim::Field<uint16_t> srcStride = 0;
  npufa_sim::Field<uint32_t> dstStride = 0;
  QuantMode_t quantPre = QuantMode_t::NoQuant;
  uint64_t deqScalar = 0;
  npufa_sim::Field<uint16_t> ndNum = 1;
  npufa_sim::Field<uint16_t> srcNdStride = 0;  // 1024 bytes
  npufa_sim::Field<uint16_t> dstNdStride = 0;  // elements
  bool reluEn = false;
  npufa_sim::Field<uint8_t> unitFlag = 0;
  bool isChannelSplit = false;
};

}  // namespace AscendC
