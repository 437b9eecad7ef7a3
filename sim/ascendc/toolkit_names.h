// What a toolkit's libraries expect beside the API: words for compilers and tracing, bits of numbers, modes.
#pragma once

#include "dtypes.h"
#include "macros.h"

#define __host__
#define __host_aicore__
#define ASCENDC_HOST
#define ASCENDC_AICORE
#define ASCENDC_HOST_AICORE
#define __ASC_USE_RESERVED_UBUF__(...)
#define DEBUG_CODE(...)
#define TRACE_START(...)
#define TRACE_STOP(...)
#ifndef ASSERT
#define ASSERT(...)
#endif

namespace AscendC {

union NotNumUnion {
  float f;
  uint32_t i;
};
union HalfUnion {
  HalfUnion() : i(0) {}
  half f;
  uint16_t i;
};

enum class CLAMPMODE { CLAMP_MAX = 0, CLAMP_MIN };
enum class DeQuantMode : uint8_t { DEQUANT_WITH_SINGLE_ROW = 0, DEQUANT_WITH_MULTI_ROW };

inline float Cast(const bfloat16_t& value) { return static_cast<float>(value); }
inline float ToFloat(const bfloat16_t& value) { return static_cast<float>(value); }
inline bfloat16_t ToBfloat16(const float& value) { return bfloat16_t(value); }

}  // namespace AscendC
