// Mmad with a right matrix of which every four elements of K hold two: LoadDataWithSparse brings them and their places.
#pragma once

#include "mmad_issue.h"
#include "tensor.h"

namespace npufa_sim {

void LoadSparse(const TensorRef& dst, const TensorRef& src, const TensorRef& index,
                const AscendC::LoadData2DParams& params, Site site);
void MultiplySparse(const MmadOperands& operands, const AscendC::MmadParams& params, Site site);

}  // namespace npufa_sim

namespace AscendC {

template <class T = int8_t, class U = uint8_t>
void LoadDataWithSparse(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<U>& idx,
                        const LoadData2dParams& loadDataParam, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(std::is_same_v<T, int8_t> && std::is_same_v<U, uint8_t>, "LoadDataWithSparse loads int8_t");
  npufa_sim::LoadSparse(npufa_sim::Ref("dst", dst), npufa_sim::Ref("src", src), npufa_sim::Ref("idx", idx),
                        loadDataParam, site);
}

template <class T = int32_t, class U = int8_t>
void MmadWithSparse(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<U>& filter,
                    const MmadParams& mmadParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(std::is_same_v<T, int32_t> && std::is_same_v<U, int8_t>, "MmadWithSparse multiplies int8_t");
  npufa_sim::MultiplySparse({npufa_sim::Ref("dst", dst), npufa_sim::Ref("fm", fm), npufa_sim::Ref("filter", filter),
                             nullptr, npufa_sim::Dtype::kInt8},
                            mmadParams, site);
}

}  // namespace AscendC
