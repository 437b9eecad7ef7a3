// Transpose of four-dimensional tensors.
#pragma once

#include "vector_tensor.h"
#include "vector_transpose.h"

namespace npufa_sim {

struct Transpose4d {
  std::int64_t n, c, hw;
  bool channels_last;  // NCHW to NHWC, or back
};
void VectorTranspose4d(Dtype dtype, const TensorRef& dst, const TensorRef& src, const TensorRef& work,
                       const Transpose4d& call, Site site);

}  // namespace npufa_sim

namespace AscendC {

enum class TransposeType : uint8_t {
  TRANSPOSE_TYPE_NONE,
  TRANSPOSE_NZ2ND_0213,
  TRANSPOSE_NZ2NZ_0213,
  TRANSPOSE_NZ2NZ_012_WITH_N,
  TRANSPOSE_NZ2ND_012_WITH_N,
  TRANSPOSE_NZ2ND_012_WITHOUT_N,
  TRANSPOSE_NZ2NZ_012_WITHOUT_N,
  TRANSPOSE_ND2ND_ONLY,
  TRANSPOSE_ND_UB_GM,
  TRANSPOSE_GRAD_ND_UB_GM,
  TRANSPOSE_ND2ND_B16,
  TRANSPOSE_NCHW2NHWC,
  TRANSPOSE_NHWC2NCHW
};

struct TransposeParamsExt {
  TransposeParamsExt() = default;
  TransposeParamsExt(const uint16_t nSizeIn, const uint16_t cSizeIn, const uint16_t hSizeIn, const uint16_t wSizeIn,
                     const TransposeType transposeTypeIn)
      : nSize(nSizeIn), cSize(cSizeIn), hSize(hSizeIn), wSize(wSizeIn), transposeType(transposeTypeIn) {}

  uint16_t nSize = 0, cSize = 0, hSize = 0, wSize = 0;
  TransposeType transposeType = TransposeType::TRANSPOSE_ND2ND_B16;
};

template <class T>
void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint8_t>& sharedTmpBuffer,
               const TransposeParamsExt& transposeParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV {
    const auto& p = transposeParams;
    const bool last = p.transposeType == TransposeType::TRANSPOSE_NCHW2NHWC;
    if (p.transposeType == TransposeType::TRANSPOSE_ND2ND_B16) return Transpose(dst, src, site);
    if (!last && p.transposeType != TransposeType::TRANSPOSE_NHWC2NCHW) {
      npufa_sim::Fault("unsupported", site, "Transpose", "of this type",
                       "TRANSPOSE_ND2ND_B16, TRANSPOSE_NCHW2NHWC and TRANSPOSE_NHWC2NCHW are modelled");
    }
    npufa_sim::VectorTranspose4d(npufa_sim::DtypeOf<T>(), npufa_sim::Ref("dst", dst), npufa_sim::Ref("src", src),
                                 npufa_sim::Ref("sharedTmpBuffer", sharedTmpBuffer),
                                 {p.nSize, p.cSize, int64_t{p.hSize} * p.wSize, last}, site);
  }
}

}  // namespace AscendC
