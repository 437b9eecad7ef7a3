// Reductions of blocks, pairs, repeats and whole tensors.
#pragma once

#include "pipe.h"
#include "vector_registers.h"
#include "vector_tensor.h"

namespace npufa_sim {

// Strides of reductions are plain int32_t in the API and 16 bits wide in the instruction.
struct ReduceStrides {
  std::int64_t dst_repeat, src_block, src_repeat;
};

inline std::uint64_t SignedMask(std::int32_t mask) { return static_cast<std::uint64_t>(std::int64_t{mask}); }

inline OperandStride WideStride(std::int64_t block, std::int64_t repeat) { return {block, repeat, 65535, 65535}; }

template <class T>
void ReduceRepeat(const char* name, ReduceOp op, AscendC::ReduceOrder order, const AscendC::LocalTensor<T>& dst,
                  const AscendC::LocalTensor<T>& src, const ReduceStrides& strides, const VectorSweep& sweep) {
  static_assert(kOneOf<T, half, float>, "reductions support half and float");
  const ReduceResult result = op == ReduceOp::kSum ? ReduceResult::kValue : static_cast<ReduceResult>(order);
  VectorReduceRepeat(name, op, result, Operand("dst", dst, WideStride(1, strides.dst_repeat)),
                     Operand("src", src, WideStride(strides.src_block, strides.src_repeat)), sweep);
}

template <class T>
void ReduceBlock(const char* name, ReduceOp op, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                 const ReduceStrides& strides, const VectorSweep& sweep) {
  static_assert(kOneOf<T, half, float>, "reductions support half and float");
  VectorReduceBlock(name, op, Operand("dst", dst, WideStride(1, strides.dst_repeat)),
                    Operand("src", src, WideStride(strides.src_block, strides.src_repeat)), sweep);
}

template <class T>
void ReducePair(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src, const ReduceStrides& strides,
                const VectorSweep& sweep) {
  static_assert(kOneOf<T, half, float>, "reductions support half and float");
  VectorReducePair(Operand("dst", dst, WideStride(1, strides.dst_repeat)),
                   Operand("src", src, WideStride(strides.src_block, strides.src_repeat)), sweep);
}

inline ReduceEvents FreeReduceEvents() {
  AscendC::TPipe* pipe = GetTPipePtr();
  if (!pipe) return {};
  using AscendC::HardEvent;
  return {pipe->FetchEventID(HardEvent::V_S), pipe->FetchEventID(HardEvent::S_V),
          pipe->FetchEventID(HardEvent::S_MTE3)};
}

template <class T>
void ReduceAll(ReduceOp op, bool with_index, const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
               const AscendC::LocalTensor<T>& work, std::int64_t src_repeat, VectorSweep sweep) {
  static_assert(kOneOf<T, half, float>, "reductions support half and float");
  sweep.repeat_max = std::numeric_limits<std::int32_t>::max();
  VectorReduceAll(op, with_index, Operand("dst", dst), Operand("src", src, WideStride(1, src_repeat)),
                  Ref("sharedTmpBuffer", work), sweep, FreeReduceEvents());
}

}  // namespace npufa_sim

namespace AscendC {

// Arguments in the order of the API: repeats before the mask here, after it for WholeReduce.
#define NPUFA_SIM_REDUCE_BLOCK(Name, op)                                                                           \
  template <typename T, bool isSetMask = true>                                                                     \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat,          \
                              const int32_t mask, const int32_t dstRepStride, const int32_t srcBlkStride,          \
                              const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {        \
    if ASCEND_IS_AIV                                                                                               \
      npufa_sim::ReduceBlock(#Name, npufa_sim::ReduceOp::op, dst, src, {dstRepStride, srcBlkStride, srcRepStride}, \
                             {npufa_sim::MaskOf<isSetMask>(npufa_sim::SignedMask(mask)), repeat, site});           \
  }                                                                                                                \
  template <typename T, bool isSetMask = true>                                                                     \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat,          \
                              const uint64_t mask[], const int32_t dstRepStride, const int32_t srcBlkStride,       \
                              const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {        \
    if ASCEND_IS_AIV                                                                                               \
      npufa_sim::ReduceBlock(#Name, npufa_sim::ReduceOp::op, dst, src, {dstRepStride, srcBlkStride, srcRepStride}, \
                             {npufa_sim::MaskOf<isSetMask>(mask), repeat, site});                                  \
  }
NPUFA_SIM_REDUCE_BLOCK(BlockReduceSum, kSum)
NPUFA_SIM_REDUCE_BLOCK(BlockReduceMax, kMax)
NPUFA_SIM_REDUCE_BLOCK(BlockReduceMin, kMin)
#undef NPUFA_SIM_REDUCE_BLOCK

template <typename T, bool isSetMask = true>
__aicore__ inline void PairReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat,
                                     const int32_t mask, const int32_t dstRepStride, const int32_t srcBlkStride,
                                     const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::ReducePair(dst, src, {dstRepStride, srcBlkStride, srcRepStride},
                          {npufa_sim::MaskOf<isSetMask>(npufa_sim::SignedMask(mask)), repeat, site});
}

template <typename T, bool isSetMask = true>
__aicore__ inline void PairReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat,
                                     const uint64_t mask[], const int32_t dstRepStride, const int32_t srcBlkStride,
                                     const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::ReducePair(dst, src, {dstRepStride, srcBlkStride, srcRepStride},
                          {npufa_sim::MaskOf<isSetMask>(mask), repeat, site});
}

// The destination has no blocks: dstBlkStride has no effect.
template <typename T, bool isSetMask = true>
__aicore__ inline void RepeatReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat,
                                       const int32_t elemsInOneRepeat, const int32_t dstBlkStride,
                                       const int32_t srcBlkStride, const int32_t dstRepStride,
                                       const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {
  (void)dstBlkStride;
  if ASCEND_IS_AIV
    npufa_sim::ReduceRepeat("RepeatReduceSum", npufa_sim::ReduceOp::kSum, ReduceOrder::ORDER_ONLY_VALUE, dst, src,
                            {dstRepStride, srcBlkStride, srcRepStride},
                            {npufa_sim::MaskOf<isSetMask>(npufa_sim::SignedMask(elemsInOneRepeat)), repeat, site});
}

#define NPUFA_SIM_WHOLE_EXTREME(Name, op)                                                                       \
  template <typename T, bool isSetMask = true>                                                                  \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask[],      \
                              const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride, \
                              const int32_t srcRepStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX,   \
                              npufa_sim::Site site = npufa_sim::Site::Here()) {                                 \
    if ASCEND_IS_AIV                                                                                            \
      npufa_sim::ReduceRepeat(#Name, npufa_sim::ReduceOp::op, order, dst, src,                                  \
                              {dstRepStride, srcBlkStride, srcRepStride},                                       \
                              {npufa_sim::MaskOf<isSetMask>(mask), repeatTime, site});                          \
  }                                                                                                             \
  template <typename T, bool isSetMask = true>                                                                  \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t mask,         \
                              const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride, \
                              const int32_t srcRepStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX,   \
                              npufa_sim::Site site = npufa_sim::Site::Here()) {                                 \
    if ASCEND_IS_AIV                                                                                            \
      npufa_sim::ReduceRepeat(#Name, npufa_sim::ReduceOp::op, order, dst, src,                                  \
                              {dstRepStride, srcBlkStride, srcRepStride},                                       \
                              {npufa_sim::MaskOf<isSetMask>(npufa_sim::SignedMask(mask)), repeatTime, site});   \
  }
NPUFA_SIM_WHOLE_EXTREME(WholeReduceMax, kMax)
NPUFA_SIM_WHOLE_EXTREME(WholeReduceMin, kMin)
#undef NPUFA_SIM_WHOLE_EXTREME

template <typename T, bool isSetMask = true>
__aicore__ inline void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask[],
                                      const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                      const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::ReduceRepeat("WholeReduceSum", npufa_sim::ReduceOp::kSum, ReduceOrder::ORDER_ONLY_VALUE, dst, src,
                            {dstRepStride, srcBlkStride, srcRepStride},
                            {npufa_sim::MaskOf<isSetMask>(mask), repeatTime, site});
}

template <typename T, bool isSetMask = true>
__aicore__ inline void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t mask,
                                      const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                      const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::ReduceRepeat("WholeReduceSum", npufa_sim::ReduceOp::kSum, ReduceOrder::ORDER_ONLY_VALUE, dst, src,
                            {dstRepStride, srcBlkStride, srcRepStride},
                            {npufa_sim::MaskOf<isSetMask>(npufa_sim::SignedMask(mask)), repeatTime, site});
}

// Names of CANN 9 for the same instructions: the kind of reduction is a template argument, the mask comes before the
// repeats.
enum class ReduceType : uint8_t { NOT_REDUCE, SUM, MAX, MIN };

template <ReduceType type, typename T, typename U = T, bool isSetMask = true, class Mask>
__aicore__ inline void ReduceDataBlock(const LocalTensor<T>& dst, const LocalTensor<U>& src, const Mask mask,
                                       const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                       const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(type != ReduceType::NOT_REDUCE);
  if constexpr (type == ReduceType::SUM) {
    BlockReduceSum<T, isSetMask>(dst, src, repeatTime, mask, dstRepStride, srcBlkStride, srcRepStride, site);
  } else if constexpr (type == ReduceType::MAX) {
    BlockReduceMax<T, isSetMask>(dst, src, repeatTime, mask, dstRepStride, srcBlkStride, srcRepStride, site);
  } else {
    BlockReduceMin<T, isSetMask>(dst, src, repeatTime, mask, dstRepStride, srcBlkStride, srcRepStride, site);
  }
}

template <ReduceType type, typename T, typename U = T, bool isSetMask = true, class Mask>
__aicore__ inline void ReducePairElem(const LocalTensor<T>& dst, const LocalTensor<U>& src, const Mask mask,
                                      const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                      const int32_t srcRepStride, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(type == ReduceType::SUM, "ReducePairElem sums");
  PairReduceSum<T, isSetMask>(dst, src, repeatTime, mask, dstRepStride, srcBlkStride, srcRepStride, site);
}

template <ReduceType type, typename T, typename U = T, bool isSetMask = true, class Mask>
__aicore__ inline void ReduceRepeat(const LocalTensor<T>& dst, const LocalTensor<U>& src, const Mask mask,
                                    const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                    const int32_t srcRepStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX,
                                    npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(type != ReduceType::NOT_REDUCE);
  if constexpr (type == ReduceType::SUM) {
    WholeReduceSum<T, isSetMask>(dst, src, mask, repeatTime, dstRepStride, srcBlkStride, srcRepStride, site);
  } else if constexpr (type == ReduceType::MAX) {
    WholeReduceMax<T, isSetMask>(dst, src, mask, repeatTime, dstRepStride, srcBlkStride, srcRepStride, order, site);
  } else {
    WholeReduceMin<T, isSetMask>(dst, src, mask, repeatTime, dstRepStride, srcBlkStride, srcRepStride, order, site);
  }
}

// What the last ReduceSum came to.
template <typename T>
__aicore__ inline T GetReduceRepeatSumSpr() {
  T value{};
  if ASCEND_IS_AIV
    std::memcpy(&value, &npufa_sim::OfVectorCore().summed, sizeof value);
  return value;
}
template <typename T>
__aicore__ inline T GetAccVal() {
  return GetReduceRepeatSumSpr<T>();
}

#define NPUFA_SIM_REDUCE_EXTREME(Name, op)                                                                      \
  template <typename T>                                                                                         \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, \
                              const int32_t mask, const int32_t repeatTime, const int32_t srcRepStride,         \
                              bool calIndex = 0, npufa_sim::Site site = npufa_sim::Site::Here()) {              \
    if ASCEND_IS_AIV                                                                                            \
      npufa_sim::ReduceAll(npufa_sim::ReduceOp::op, calIndex, dst, src, work, srcRepStride,                     \
                           {npufa_sim::MaskOf<true>(npufa_sim::SignedMask(mask)), repeatTime, site});           \
  }                                                                                                             \
  template <typename T>                                                                                         \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, \
                              const uint64_t mask[], const int32_t repeatTime, const int32_t srcRepStride,      \
                              bool calIndex = 0, npufa_sim::Site site = npufa_sim::Site::Here()) {              \
    if ASCEND_IS_AIV                                                                                            \
      npufa_sim::ReduceAll(npufa_sim::ReduceOp::op, calIndex, dst, src, work, srcRepStride,                     \
                           {npufa_sim::MaskOf<true>(mask), repeatTime, site});                                  \
  }                                                                                                             \
  template <typename T>                                                                                         \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, \
                              const int32_t count, bool calIndex = 0,                                           \
                              npufa_sim::Site site = npufa_sim::Site::Here()) {                                 \
    if ASCEND_IS_AIV                                                                                            \
      npufa_sim::ReduceAll(npufa_sim::ReduceOp::op, calIndex, dst, src, work, 8,                                \
                           {npufa_sim::CountOf(count), 1, site});                                               \
  }
NPUFA_SIM_REDUCE_EXTREME(ReduceMax, kMax)
NPUFA_SIM_REDUCE_EXTREME(ReduceMin, kMin)
#undef NPUFA_SIM_REDUCE_EXTREME

template <typename T>
__aicore__ inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work,
                                 const int32_t mask, const int32_t repeatTime, const int32_t srcRepStride,
                                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::ReduceAll(npufa_sim::ReduceOp::kSum, false, dst, src, work, srcRepStride,
                         {npufa_sim::MaskOf<true>(npufa_sim::SignedMask(mask)), repeatTime, site});
}

template <typename T>
__aicore__ inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work,
                                 const uint64_t mask[], const int32_t repeatTime, const int32_t srcRepStride,
                                 npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::ReduceAll(npufa_sim::ReduceOp::kSum, false, dst, src, work, srcRepStride,
                         {npufa_sim::MaskOf<true>(mask), repeatTime, site});
}

template <typename T, bool isSetMask = true>
__aicore__ inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work,
                                 const int32_t count, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV
    npufa_sim::ReduceAll(npufa_sim::ReduceOp::kSum, false, dst, src, work, 8,
                         {npufa_sim::CountOf<isSetMask>(count), 1, site});
}

}  // namespace AscendC
