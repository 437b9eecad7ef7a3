// DataCopy and DataCopyPad.
#pragma once

#include "data_copy_moves.h"
#include "tensor.h"

namespace AscendC {

template <typename T>
void DataCopy(const LocalTensor<T>& dstLocal, const GlobalTensor<T>& srcGlobal, const DataCopyParams& repeatParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyBlocks(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcGlobal), npufa_sim::DtypeOf<T>(),
                        repeatParams, false, site);
}

template <typename T>
void DataCopy(const GlobalTensor<T>& dstGlobal, const LocalTensor<T>& srcLocal, const DataCopyParams& repeatParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyBlocks(npufa_sim::Ref("dst", dstGlobal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                        repeatParams, false, site);
}

template <typename T>
void DataCopy(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, const DataCopyParams& repeatParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyBlocks(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                        repeatParams, false, site);
}

// L1 to the bias table, from half to float.
template <typename dst_T, typename src_T>
void DataCopy(const LocalTensor<dst_T>& dstLocal, const LocalTensor<src_T>& srcLocal,
              const DataCopyParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(std::is_same_v<dst_T, float> && std::is_same_v<src_T, half>, "only half to float is converted");
  const npufa_sim::TensorRef dst = npufa_sim::Ref("dst", dstLocal);
  if (dst.space != npufa_sim::Space::kBT) {
    npufa_sim::Unsupported(site, "DataCopy", "between types anywhere but from L1 to the bias table");
  }
  npufa_sim::CopyBlocks(dst, npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<src_T>(), repeatParams, true, site);
}

template <typename T>
void DataCopy(const LocalTensor<T>& dstLocal, const GlobalTensor<T>& srcGlobal, const uint32_t calCount,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyElements(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcGlobal), npufa_sim::DtypeOf<T>(),
                          calCount, site);
}

template <typename T>
void DataCopy(const GlobalTensor<T>& dstGlobal, const LocalTensor<T>& srcLocal, const uint32_t calCount,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyElements(npufa_sim::Ref("dst", dstGlobal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                          calCount, site);
}

template <typename T>
void DataCopy(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, const uint32_t calCount,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyElements(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                          calCount, site);
}

template <typename T>
void DataCopy(const LocalTensor<T>& dstLocal, const GlobalTensor<T>& srcGlobal, const Nd2NzParams& intriParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyNdToNz(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcGlobal), npufa_sim::DtypeOf<T>(),
                        intriParams, site);
}

template <typename T>
void DataCopy(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, const Nd2NzParams& intriParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyNdToNz(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                        intriParams, site);
}

template <typename T>
void DataCopy(const GlobalTensor<T>& dstGlobal, const LocalTensor<T>& srcLocal, const Nz2NdParamsFull& intriParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyNzToNd(npufa_sim::Ref("dst", dstGlobal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                        intriParams, site);
}

// The fields of DataCopyEnhancedParams act on paths that dav-2201 does not have.
template <typename T>
void DataCopy(const LocalTensor<T>& dstLocal, const GlobalTensor<T>& srcGlobal, const DataCopyParams& intriParams,
              const DataCopyEnhancedParams&, npufa_sim::Site site = npufa_sim::Site::Here()) {
  DataCopy(dstLocal, srcGlobal, intriParams, site);
}

template <typename T>
void DataCopy(const GlobalTensor<T>& dstGlobal, const LocalTensor<T>& srcLocal, const DataCopyParams& intriParams,
              const DataCopyEnhancedParams&, npufa_sim::Site site = npufa_sim::Site::Here()) {
  DataCopy(dstGlobal, srcLocal, intriParams, site);
}

template <typename T>
void DataCopy(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal, const DataCopyParams& intriParams,
              const DataCopyEnhancedParams&, npufa_sim::Site site = npufa_sim::Site::Here()) {
  DataCopy(dstLocal, srcLocal, intriParams, site);
}

template <typename T>
void DataCopyPad(const LocalTensor<T>& dstLocal, const GlobalTensor<T>& srcGlobal,
                 const DataCopyExtParams& dataCopyParams, const DataCopyPadExtParams<T>& padParams,
                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::Padding padding{padParams.isPad, padParams.leftPadding.value(), padParams.rightPadding.value(), 0};
  std::memcpy(&padding.value, &padParams.paddingValue, sizeof(T));
  npufa_sim::CopyPadToUb(npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcGlobal), npufa_sim::DtypeOf<T>(),
                         dataCopyParams, padding, site);
}

template <typename T>
void DataCopyPad(const GlobalTensor<T>& dstGlobal, const LocalTensor<T>& srcLocal,
                 const DataCopyExtParams& dataCopyParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyPadToGm(npufa_sim::Ref("dst", dstGlobal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                         dataCopyParams, site);
}

template <typename T>
void DataCopyPad(const LocalTensor<T>& dstLocal, const GlobalTensor<T>& srcGlobal, const DataCopyParams& dataCopyParams,
                 const DataCopyPadParams& padParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyPadToUb(
      npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("src", srcGlobal), npufa_sim::DtypeOf<T>(),
      npufa_sim::ExtParamsOf(dataCopyParams, site),
      {padParams.isPad, padParams.leftPadding.value(), padParams.rightPadding.value(), padParams.paddingValue}, site);
}

template <typename T>
void DataCopyPad(const GlobalTensor<T>& dstGlobal, const LocalTensor<T>& srcLocal, const DataCopyParams& dataCopyParams,
                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopyPadToGm(npufa_sim::Ref("dst", dstGlobal), npufa_sim::Ref("src", srcLocal), npufa_sim::DtypeOf<T>(),
                         npufa_sim::ExtParamsOf(dataCopyParams, site), site);
}

template <typename T, TPosition pos = TPosition::MAX>
void SetPadValue(T paddingValue) {
  uint64_t bits = 0;
  std::memcpy(&bits, &paddingValue, sizeof(T));
  npufa_sim::SetPadRegister(bits);
}

}  // namespace AscendC
