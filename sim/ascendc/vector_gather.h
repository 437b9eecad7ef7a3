// Elements and blocks chosen by offsets or masks.
#pragma once

#include "vector_fill.h"
#include "vector_tensor.h"

namespace npufa_sim {

template <class T>
void Gather(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
            const AscendC::LocalTensor<std::uint32_t>& offsets, std::uint32_t base, std::int64_t dst_repeat,
            const VectorSweep& sweep) {
  static_assert(kWord<T>, "Gather supports 16 and 32-bit element types");
  VectorGather(Operand("dst", dst, {1, dst_repeat, 1, 65535}), Ref("src", src), Ref("srcOffset", offsets), base, sweep);
}

inline GatherMaskCall GatherMaskCallOf(bool counter, std::uint32_t elements, const AscendC::GatherMaskParams& p) {
  GatherMaskCall call;
  call.counter = counter;
  call.elements = elements;
  call.repeat = p.repeatTimes.value();
  call.bits_repeat_stride = p.src1RepeatStride.value();
  return call;
}

}  // namespace npufa_sim

namespace AscendC {

template <typename T>
__aicore__ inline void Gatherb(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                               const LocalTensor<uint32_t>& offset, const npufa_sim::RepeatTime repeatTime,
                               const GatherRepeatParams& repeatParams, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, uint16_t, uint32_t>, "Gatherb supports uint16_t and uint32_t");
  if ASCEND_IS_AIV
    npufa_sim::VectorGatherBlocks(
        npufa_sim::Operand("dst", dst, npufa_sim::StrideOf(repeatParams.dstBlkStride, repeatParams.dstRepStride)),
        npufa_sim::Ref("src0", src0), npufa_sim::Ref("offset", offset), repeatTime.value(), site);
}

template <typename T>
__aicore__ inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                              const LocalTensor<uint32_t>& srcOffset, const uint32_t srcBaseAddr, const uint64_t mask,
                              const npufa_sim::RepeatTime repeatTime, const npufa_sim::Field<uint16_t> dstRepStride,
                              npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Gather(dst, src, srcOffset, srcBaseAddr, dstRepStride.value(),
                      {npufa_sim::MaskArgument::Prefix(mask), repeatTime.value(), site});
}

template <typename T>
__aicore__ inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                              const LocalTensor<uint32_t>& srcOffset, const uint32_t srcBaseAddr, const uint64_t mask[],
                              const npufa_sim::RepeatTime repeatTime, const npufa_sim::Field<uint16_t> dstRepStride,
                              npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Gather(dst, src, srcOffset, srcBaseAddr, dstRepStride.value(),
                      {npufa_sim::MaskArgument::Bits(mask), repeatTime.value(), site});
}

template <typename T>
__aicore__ inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                              const LocalTensor<uint32_t>& srcOffset, const uint32_t srcBaseAddr, const uint32_t count,
                              npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::Gather(dst, src, srcOffset, srcBaseAddr, DEFAULT_REPEAT_STRIDE, {npufa_sim::CountOf(count), 1, site});
}

template <typename T, typename U, GatherMaskMode mode = defaultGatherMaskMode>
__aicore__ inline void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                                  const LocalTensor<U>& src1Pattern, const bool reduceMode, const uint32_t mask,
                                  const GatherMaskParams& params, uint64_t& rsvdCnt,
                                  npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(mode == GatherMaskMode::VERSION_V2, "this chip has GatherMaskMode::VERSION_V2");
  static_assert(npufa_sim::kWord<T> && npufa_sim::kOneOf<U, uint16_t, uint32_t> && sizeof(T) == sizeof(U),
                "GatherMask supports 16-bit types with a pattern of uint16_t and 32-bit types with one of uint32_t");
  if ASCEND_IS_AIV {
    npufa_sim::GatherMaskCall call = npufa_sim::GatherMaskCallOf(reduceMode, mask, params);
    call.bits = npufa_sim::Ref("src1Pattern", src1Pattern);
    rsvdCnt = npufa_sim::VectorGatherMask(
        npufa_sim::Ref("dst", dst),
        npufa_sim::Operand("src0", src0, npufa_sim::StrideOf(params.src0BlockStride, params.src0RepeatStride)), call,
        site);
  }
}

template <typename T, GatherMaskMode mode = defaultGatherMaskMode>
__aicore__ inline void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const uint8_t src1Pattern,
                                  const bool reduceMode, const uint32_t mask, const GatherMaskParams& params,
                                  uint64_t& rsvdCnt, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(mode == GatherMaskMode::VERSION_V2, "this chip has GatherMaskMode::VERSION_V2");
  static_assert(npufa_sim::kWord<T>, "GatherMask supports 16 and 32-bit element types");
  if ASCEND_IS_AIV {
    npufa_sim::GatherMaskCall call = npufa_sim::GatherMaskCallOf(reduceMode, mask, params);
    call.pattern = src1Pattern;
    if (src1Pattern == 0) call.pattern = -1;  // 0 would stand for a tensor
    rsvdCnt = npufa_sim::VectorGatherMask(
        npufa_sim::Ref("dst", dst),
        npufa_sim::Operand("src0", src0, npufa_sim::StrideOf(params.src0BlockStride, params.src0RepeatStride)), call,
        site);
  }
}

__aicore__ inline int64_t GetGatherMaskRemainCount() {
  if ASCEND_IS_AIV
    return static_cast<int64_t>(npufa_sim::GatherMaskCountRegister());
  return 0;
}

}  // namespace AscendC
