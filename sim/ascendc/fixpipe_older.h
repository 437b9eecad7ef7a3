// The parameters of Fixpipe that older chips take: kernels for several chips name them. See FixpipeParamsV220.
#pragma once

#include "cube_params.h"
#include "tensor.h"

namespace AscendC {

struct QuantParams {
  QuantParams() = default;
  QuantParams(QuantMode_t quantPreIn) : quantPre(quantPreIn) {}
  QuantParams(QuantMode_t quantPreIn, uint64_t deqScalarIn) : quantPre(quantPreIn), deqScalar(deqScalarIn) {}

  QuantMode_t quantPre = QuantMode_t::NoQuant;
  uint64_t deqScalar = 0;
};

struct Nz2NdParams {
  bool nz2ndEn = false;
  uint16_t ndNum = 1, srcNdStride = 0, dstNdStride = 0, originalNSize = 0;
};

template <typename SrcT = int32_t>
struct FixpipeParams {
  FixpipeParams() = default;
  FixpipeParams(uint16_t count, uint16_t len, uint16_t srcStrideIn, uint32_t dstStrideIn)
      : cburstNum(count), burstLen(len), dstStride(dstStrideIn), srcStride(srcStrideIn) {}

  uint16_t cburstNum = 1, burstLen = 1;
  uint32_t dstStride = 0;
  uint16_t srcStride = 0;
  QuantParams quantParams;
  bool reluEn = false;
  Nz2NdParams nz2ndParams;
  uint8_t unitFlag = 0;
};

[[noreturn]] inline void FailOlderFixpipe(npufa_sim::Site site) {
  npufa_sim::Fault("unsupported", site, "Fixpipe", "with FixpipeParams, which are those of older chips",
                   "use FixpipeParamsV220");
}
template <class Dst, typename SrcT>
void Fixpipe(const Dst&, const LocalTensor<SrcT>&, const FixpipeParams<SrcT>&,
             npufa_sim::Site site = npufa_sim::Site::Here()) {
  FailOlderFixpipe(site);
}
template <class Dst, typename SrcT>
void Fixpipe(const Dst&, const LocalTensor<SrcT>&, const LocalTensor<uint64_t>&, const FixpipeParams<SrcT>&,
             npufa_sim::Site site = npufa_sim::Site::Here()) {
  FailOlderFixpipe(site);
}

template <typename DstT, typename SrcT, class = std::enable_if_t<!std::is_same_v<DstT, SrcT>>>
void DataCopy(const LocalTensor<DstT>&, const LocalTensor<SrcT>&, const DataCopyParams&, const DataCopyEnhancedParams&,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::Fault("unsupported", site, "DataCopy", "from L0C to UB, a path of older chips",
                   "move L0C to global memory or L1 with Fixpipe");
}

}  // namespace AscendC
