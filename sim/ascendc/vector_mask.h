// Masks set outside of instructions.
#pragma once

#include "vector_params.h"

namespace AscendC {

template <typename T, MaskMode mode = MaskMode::NORMAL>
__aicore__ static inline void SetVectorMask(const uint64_t maskHigh, const uint64_t maskLow) {
  if ASCEND_IS_AIV
    npufa_sim::SetMaskRegister(maskHigh, maskLow);
}

template <typename T, MaskMode mode = MaskMode::NORMAL>
__aicore__ static inline void SetVectorMask(int32_t len) {
  if ASCEND_IS_AIV {
    if constexpr (mode == MaskMode::COUNTER) npufa_sim::SetMaskRegister(0, len);
    else npufa_sim::SetMaskPrefix(len);
  }
}

__aicore__ inline void ResetMask() {
  if ASCEND_IS_AIV
    npufa_sim::SetMaskRegister(~uint64_t{0}, ~uint64_t{0});
}

__aicore__ inline void SetMaskCount() {
  if ASCEND_IS_AIV
    npufa_sim::SetMaskMode(true);
}

__aicore__ inline void SetMaskNorm() {
  if ASCEND_IS_AIV
    npufa_sim::SetMaskMode(false);
}

// The same under names that older kernels use.
class AscendCUtils {
 public:
  template <typename T>
  __aicore__ static inline void SetMask(const uint64_t& maskHigh, const uint64_t& maskLow) {
    SetVectorMask<T>(maskHigh, maskLow);
  }
  template <typename T>
  __aicore__ static inline void SetMask(int32_t len) {
    SetVectorMask<T>(len);
  }
  template <typename T>
  __aicore__ static inline void SetMaskCount() {
    AscendC::SetMaskCount();
  }
  template <typename T>
  __aicore__ static inline void SetMaskNorm() {
    AscendC::SetMaskNorm();
  }
  __aicore__ static inline void ResetMask() { AscendC::ResetMask(); }
};

}  // namespace AscendC
