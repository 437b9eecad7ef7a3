// Special registers of a core that data movement and cube instructions read. Zero at the start of a kernel.
#pragma once

#include <cstdint>

#include "chip/core_api.h"

namespace npufa_sim {

struct CoreRegisters {
  std::uint64_t pad_value;      // SetPadValue; DataCopyPad with isPad
  std::uint64_t pad_value_set;  // 0: nobody knows what pad_value holds
  std::uint64_t feature_map;    // SetFmatrix: width, height, then a byte for each padding
  std::uint64_t load_repeat;    // SetLoadDataRepeat: stride, times << 16, mode << 24; bit 63 once set
  std::uint64_t load_boundary;  // SetLoadDataBoundary: bytes of L1 after which 3D loads go on at its start; 0: none
  std::uint64_t nz2nd;          // SetFixpipeNz2ndFlag: matrices, source stride << 16, destination stride << 32
  std::uint64_t quant_scalar;   // SetFixpipePreQuantFlag
  std::uint64_t quant_table;    // SetFixPipeConfig: address in the fixpipe buffer; bit 63 once set
};
inline constexpr std::uint64_t kRegisterSet = std::uint64_t{1} << 63;
inline constexpr int kRegisterWords = 16;  // of the core's scratch words, from the first one on
static_assert(sizeof(CoreRegisters) <= kRegisterWords * sizeof(std::uint64_t));

inline CoreRegisters& Registers() { return *reinterpret_cast<CoreRegisters*>(Scratch()); }

}  // namespace npufa_sim
