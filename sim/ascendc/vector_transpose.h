// Transposes within the unified buffer.
#pragma once

#include "chip/core_api.h"
#include "vector_tensor.h"

namespace npufa_sim {

template <class T>
void TransposeBlocks(const TensorRef dst[16], const TensorRef src[16], const AscendC::TransDataTo5HDParams& p,
                     Site site) {
  static_assert(kOneOf<T, std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, half> ||
                    kOneOf<T, std::int32_t, std::uint32_t, float>,
                "TransDataTo5HD supports 8, 16 and 32-bit element types except bfloat16_t");
  VectorTransposeBlocks(
      DtypeOf<T>(), dst, src,
      {p.dstHighHalf, p.srcHighHalf, p.repeatTimes.value(), p.dstRepStride.value(), p.srcRepStride.value()}, site);
}

// An address carries no buffer: only the end of the memory bounds it.
inline TensorRef UnifiedBufferAt(const char* name, std::uint64_t address) {
  return {name, Space::kUB, address, 0, SpaceBytes(Space::kUB)};
}

}  // namespace npufa_sim

namespace AscendC {

template <typename T>
__aicore__ inline void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, int16_t, uint16_t, half>, "Transpose supports int16_t, uint16_t and half");
  if ASCEND_IS_AIV
    npufa_sim::VectorTranspose16(npufa_sim::Ref("dst", dst), npufa_sim::Ref("src", src), site);
}

template <typename T>
__aicore__ inline void TransDataTo5HD(const LocalTensor<T> (&dstList)[NCHW_CONV_ADDR_LIST_SIZE],
                                      const LocalTensor<T> (&srcList)[NCHW_CONV_ADDR_LIST_SIZE],
                                      const TransDataTo5HDParams& params,
                                      npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV {
    npufa_sim::TensorRef dst[NCHW_CONV_ADDR_LIST_SIZE], src[NCHW_CONV_ADDR_LIST_SIZE];
    for (int i = 0; i < NCHW_CONV_ADDR_LIST_SIZE; ++i) {
      dst[i] = npufa_sim::Ref("dst", dstList[i]);
      src[i] = npufa_sim::Ref("src", srcList[i]);
    }
    npufa_sim::TransposeBlocks<T>(dst, src, params, site);
  }
}

template <typename T>
__aicore__ inline void TransDataTo5HD(uint64_t dstList[NCHW_CONV_ADDR_LIST_SIZE],
                                      uint64_t srcList[NCHW_CONV_ADDR_LIST_SIZE], const TransDataTo5HDParams& params,
                                      npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV {
    npufa_sim::TensorRef dst[NCHW_CONV_ADDR_LIST_SIZE], src[NCHW_CONV_ADDR_LIST_SIZE];
    for (int i = 0; i < NCHW_CONV_ADDR_LIST_SIZE; ++i) {
      dst[i] = npufa_sim::UnifiedBufferAt("dst", dstList[i]);
      src[i] = npufa_sim::UnifiedBufferAt("src", srcList[i]);
    }
    npufa_sim::TransposeBlocks<T>(dst, src, params, site);
  }
}

}  // namespace AscendC
