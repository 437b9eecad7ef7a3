// Mmad and its modes.
#pragma once

#include "mmad_issue.h"
#include "tensor.h"

namespace AscendC {

template <typename DstT, typename Src0T, typename Src1T>
void Mmad(const LocalTensor<DstT>& dstLocal, const LocalTensor<Src0T>& fmLocal, const LocalTensor<Src1T>& filterLocal,
          const MmadParams& mmadParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::IsMmadCombination<DstT, Src0T, Src1T>(), "Mmad does not multiply these types");
  npufa_sim::MatrixMultiply({npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("fm", fmLocal),
                             npufa_sim::Ref("filter", filterLocal), nullptr, npufa_sim::DtypeOf<Src0T>()},
                            mmadParams, site);
}

template <typename DstT, typename Src0T, typename Src1T, typename BiasT>
void Mmad(const LocalTensor<DstT>& dstLocal, const LocalTensor<Src0T>& fmLocal, const LocalTensor<Src1T>& filterLocal,
          const LocalTensor<BiasT>& biasLocal, const MmadParams& mmadParams,
          npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::IsMmadCombination<DstT, Src0T, Src1T>(), "Mmad does not multiply these types");
  static_assert(std::is_same_v<DstT, BiasT>, "the bias has the type of the result");
  const npufa_sim::TensorRef bias = npufa_sim::Ref("bias", biasLocal);
  npufa_sim::MatrixMultiply({npufa_sim::Ref("dst", dstLocal), npufa_sim::Ref("fm", fmLocal),
                             npufa_sim::Ref("filter", filterLocal), &bias, npufa_sim::DtypeOf<Src0T>()},
                            mmadParams, site);
}

inline void SetHF32Mode(bool hf32Mode) { npufa_sim::SetControlBit(npufa_sim::kHf32Bit, hf32Mode); }
inline void SetHF32TransMode(bool hf32TransMode) { npufa_sim::SetControlBit(npufa_sim::kHf32TiesBit, hf32TransMode); }

// The order in which the cube walks over C, which no result depends on.
inline void SetMMLayoutTransform(bool) {}

}  // namespace AscendC
