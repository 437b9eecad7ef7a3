// Fixpipe, DataCopy from L0C, and the registers of the latter.
#pragma once

#include "fixpipe_move.h"
#include "tensor.h"

namespace AscendC {

template <typename DstT, typename SrcT, const FixpipeConfig& config = CFG_ROW_MAJOR>
void Fixpipe(const GlobalTensor<DstT>& dstGlobal, const LocalTensor<SrcT>& srcLocal,
             const FixpipeParamsV220& intriParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(config.format != CO2Layout::COLUMN_MAJOR, "dav-2201 has no column-major output");
  npufa_sim::RunFixpipe(npufa_sim::Ref("dst", dstGlobal), npufa_sim::DtypeOf<DstT>(), npufa_sim::Ref("src", srcLocal),
                        npufa_sim::DtypeOf<SrcT>(), nullptr, intriParams, config.format == CO2Layout::ROW_MAJOR, site);
}

template <typename DstT, typename SrcT, const FixpipeConfig& config = CFG_ROW_MAJOR, typename BufT = uint64_t,
          typename std::enable_if<std::is_same<BufT, uint64_t>::value, bool>::type = true>
void Fixpipe(const GlobalTensor<DstT>& dstGlobal, const LocalTensor<SrcT>& srcLocal,
             const LocalTensor<BufT>& cbufWorkspace, const FixpipeParamsV220& intriParams,
             npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(config.format != CO2Layout::COLUMN_MAJOR, "dav-2201 has no column-major output");
  const npufa_sim::TensorRef scales = npufa_sim::Ref("cbufWorkspace", cbufWorkspace);
  npufa_sim::RunFixpipe(npufa_sim::Ref("dst", dstGlobal), npufa_sim::DtypeOf<DstT>(), npufa_sim::Ref("src", srcLocal),
                        npufa_sim::DtypeOf<SrcT>(), &scales, intriParams, config.format == CO2Layout::ROW_MAJOR, site);
}

template <typename DstT, typename SrcT, const FixpipeConfig& config = CFG_ROW_MAJOR>
void Fixpipe(const LocalTensor<DstT>& dstLocal, const LocalTensor<SrcT>& srcLocal, const FixpipeParamsV220& intriParams,
             npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::RunFixpipe(npufa_sim::Ref("dst", dstLocal), npufa_sim::DtypeOf<DstT>(), npufa_sim::Ref("src", srcLocal),
                        npufa_sim::DtypeOf<SrcT>(), nullptr, intriParams, config.format == CO2Layout::ROW_MAJOR, site);
}

template <typename DstT, typename SrcT, const FixpipeConfig& config = CFG_ROW_MAJOR, typename BufT = uint64_t,
          typename std::enable_if<std::is_same<BufT, uint64_t>::value, bool>::type = true>
void Fixpipe(const LocalTensor<DstT>& dstLocal, const LocalTensor<SrcT>& srcLocal,
             const LocalTensor<BufT>& cbufWorkspace, const FixpipeParamsV220& intriParams,
             npufa_sim::Site site = npufa_sim::Site::Here()) {
  const npufa_sim::TensorRef scales = npufa_sim::Ref("cbufWorkspace", cbufWorkspace);
  npufa_sim::RunFixpipe(npufa_sim::Ref("dst", dstLocal), npufa_sim::DtypeOf<DstT>(), npufa_sim::Ref("src", srcLocal),
                        npufa_sim::DtypeOf<SrcT>(), &scales, intriParams, config.format == CO2Layout::ROW_MAJOR, site);
}

template <typename T, typename U>
void DataCopy(const GlobalTensor<T>& dstGlobal, const LocalTensor<U>& srcLocal,
              const DataCopyCO12DstParams& intriParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::RunFixpipe(npufa_sim::Ref("dst", dstGlobal), npufa_sim::DtypeOf<T>(), npufa_sim::Ref("src", srcLocal),
                        npufa_sim::DtypeOf<U>(), intriParams, site);
}

template <typename T, typename U>
void DataCopy(const LocalTensor<T>& dstLocal, const LocalTensor<U>& srcLocal, const DataCopyCO12DstParams& intriParams,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::RunFixpipe(npufa_sim::Ref("dst", dstLocal), npufa_sim::DtypeOf<T>(), npufa_sim::Ref("src", srcLocal),
                        npufa_sim::DtypeOf<U>(), intriParams, site);
}

// The ReLU table is reserved: an empty tensor. Without unit flags there are none to clear.
template <typename T>
void SetFixPipeConfig(const LocalTensor<T>&, const LocalTensor<T>& quantPre, bool = false,
                      npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::SetQuantTableRegister(npufa_sim::Ref("quantPre", quantPre), site);
}

template <typename T, bool setRelu = false>
void SetFixPipeConfig(const LocalTensor<T>& preTensor, bool isUnitFlag = false,
                      npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(!setRelu, "a ReLU table is not supported on dav-2201");
  if (isUnitFlag) return;
  npufa_sim::SetQuantTableRegister(npufa_sim::Ref("preTensor", preTensor), site);
}

inline void SetFixpipeNz2ndFlag(uint16_t ndNum, uint16_t srcNdStride, uint16_t dstNdStride,
                                npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::SetNz2ndRegister(ndNum, srcNdStride, dstNdStride, site);
}

inline void SetFixpipePreQuantFlag(uint64_t config) { npufa_sim::SetQuantScalarRegister(config); }

}  // namespace AscendC
