// LoadData in its forms, InitConstValue, and the registers that LoadData reads.
#pragma once

#include "load_data_moves.h"
#include "tensor.h"

namespace AscendC {

template <typename T>
void LoadData(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, const LoadData2DParams& loadDataParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::LoadFractals(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                          loadDataParams, site);
}

template <typename T>
void LoadData(const LocalTensor<T>& dstLocal, const GlobalTensor<T>& srcLocal, const LoadData2DParams& loadDataParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::LoadFractals(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                          loadDataParams, site);
}

template <typename T>
void LoadData(const LocalTensor<T>&, const LocalTensor<T>&, const LoadData2DParamsV2&,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::Unsupported(site, "LoadData", "with LoadData2DParamsV2 on dav-2201");
}

template <typename T>
void LoadDataWithTranspose(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
                           const LoadData2dTransposeParams& loadDataParams,
                           npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::LoadTransposed(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                            loadDataParams, site);
}

inline void SetFmatrix(uint16_t l1H, uint16_t l1W, const uint8_t padList[4], const FmatrixMode& fmatrixMode,
                       npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::SetFeatureMapRegister(l1H, l1W, padList, fmatrixMode == FmatrixMode::FMATRIX_RIGHT, site);
}

inline void Load3DSetFMatrixCal(uint16_t l1H, uint16_t l1W, const uint8_t padList[4],
                                npufa_sim::Site site = npufa_sim::Site::Here()) {
  SetFmatrix(l1H, l1W, padList, FmatrixMode::FMATRIX_LEFT, site);
}

// Only windows without padding are modelled, so the value of padding is never used.
template <typename T>
void SetLoadDataPaddingValue(const T) {}

inline void SetLoadDataRepeat(const LoadDataRepeatParam& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::SetLoadRepeatRegister(repeatParams, site);
}

inline void SetLoadDataBoundary(uint32_t boundaryValue, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::SetLoadBoundaryRegister(boundaryValue, site);
}

template <typename T, const IsResetLoad3dConfig& defaultConfig = IS_RESER_LOAD3D_DEFAULT_CONFIG, typename U = T,
          typename std::enable_if<std::is_same<T, U>::value, bool>::type = true>
void LoadData(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
              const LoadData3DParamsV2<U>& loadDataParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  const auto& p = loadDataParams;
  if constexpr (defaultConfig.isSetFMatrix) {
    npufa_sim::SetFeatureMapRegister(p.l1H.value(), p.l1W.value(), p.padList, false, site);
  }
  npufa_sim::FeatureMapWindow window;
  window.channels = p.channelSize.value();
  window.k = p.kExtension.value();
  window.m = p.mExtension.value();
  window.k_start = p.kStartPt.value();
  window.m_start = p.mStartPt.value();
  window.stride_w = p.strideW.value();
  window.stride_h = p.strideH.value();
  window.filter_w = p.filterW.value();
  window.filter_h = p.filterH.value();
  window.dilation_w = p.dilationFilterW.value();
  window.dilation_h = p.dilationFilterH.value();
  window.transpose = p.enTranspose;
  window.large_filter = p.filterSizeW || p.filterSizeH;
  window.right_map = p.fMatrixCtrl;
  npufa_sim::LoadFeatureMap(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                            window, site);
}

template <typename T>
void LoadData(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
              const LoadData3DParamsV2Pro& loadDataParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  const uint64_t ext = loadDataParams.extConfig, filter = loadDataParams.filterConfig;
  const auto word = [&](int shift) { return static_cast<int64_t>(ext >> shift & 0xffff); };
  const auto byte = [&](int shift) { return static_cast<int64_t>(filter >> shift & 0xff); };
  npufa_sim::FeatureMapWindow window;
  window.channels = loadDataParams.channelSize.value();
  window.k = word(0);
  window.m = word(16);
  window.k_start = word(32);
  window.m_start = word(48);
  window.stride_w = byte(0);
  window.stride_h = byte(8);
  window.filter_w = byte(16);
  window.filter_h = byte(24);
  window.dilation_w = byte(32);
  window.dilation_h = byte(40);
  window.transpose = loadDataParams.enTranspose;
  window.large_filter = loadDataParams.filterSizeW || loadDataParams.filterSizeH;
  window.right_map = loadDataParams.fMatrixCtrl;
  npufa_sim::LoadFeatureMap(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                            window, site);
}

template <typename T, typename U = T, typename std::enable_if<std::is_same<T, U>::value, bool>::type = true>
void InitConstValue(const LocalTensor<T>& dstLocal, const InitConstValueParams<U>& initConstValueParams,
                    npufa_sim::Site site = npufa_sim::Site::Here()) {
  uint64_t bits = 0;
  std::memcpy(&bits, &initConstValueParams.initValue, sizeof(U));
  npufa_sim::FillConstant(npufa_sim::Ref("dst", dstLocal), npufa_sim::DtypeOf<T>(),
                          initConstValueParams.repeatTimes.value(), initConstValueParams.blockNum.value(),
                          initConstValueParams.dstGap.value(), bits, site);
}

// The name of CANN 9.
template <typename T, typename U = T>
void Fill(const LocalTensor<T>& dst, const InitConstValueParams<U>& initConstValueParams,
          npufa_sim::Site site = npufa_sim::Site::Here()) {
  InitConstValue(dst, initConstValueParams, site);
}

}  // namespace AscendC
