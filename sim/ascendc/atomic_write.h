// Writes to global memory under SetAtomicAdd, SetAtomicMax and SetAtomicMin.
#pragma once

#include <cstdint>

#include "chip/instruction.h"
#include "dtypes.h"

namespace npufa_sim {

// The destination operand of an instruction that writes GM, and how its bytes get there.
class GmWriter {
 public:
  // Faults when the atomic mode that is set does not fit the element type.
  GmWriter(Instruction& ins, const TensorRef& dst, Dtype dtype);

  GmWriter& Operand(const Extent& extent, std::uint32_t align = 1);
  void Store(std::uint8_t* dst, const std::uint8_t* src, std::int64_t bytes) const;

 private:
  Instruction& ins_;
  const TensorRef& dst_;
  const bool atomic_;
};

}  // namespace npufa_sim
