// Special registers of a vector core. Zero at the start of a kernel.
#pragma once

#include <cstdint>

#include "chip/core_api.h"

namespace npufa_sim {

struct VectorRegisters {
  std::uint64_t compare_mask[2];    // CMPMASK: a bit per element of a repeat
  std::uint64_t dequant_scale;      // DEQSCALE: a half in the low bits
  std::uint64_t dequant_scale_set;  // 0: nobody knows what dequant_scale holds
  std::uint64_t gathered;           // elements kept by the last GatherMask
  std::uint64_t merged;             // elements that the last MrgSort took from each list, 16 bits each
  std::uint64_t summed;             // result of the last sum of repeats, a float or half in the low bits
};
inline constexpr int kVectorRegisterWord = 32;  // among the core's scratch words
static_assert(kVectorRegisterWord * 8 + sizeof(VectorRegisters) <= 48 * 8);

inline VectorRegisters& OfVectorCore() { return *reinterpret_cast<VectorRegisters*>(Scratch() + kVectorRegisterWord); }

}  // namespace npufa_sim
