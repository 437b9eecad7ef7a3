#include "chip/core_api.h"
#include "vector_ops.h"
#include "vector_sweep.h"

namespace npufa_sim {

void SetMaskRegister(std::uint64_t high, std::uint64_t low) {
  CurrentMask().low = low;
  CurrentMask().high = high;
}

void SetMaskPrefix(std::int64_t elements) { SetMaskRegister(FirstBits(elements - 64), FirstBits(elements)); }

void SetMaskMode(bool counter) { CurrentMask().counter = counter; }

}  // namespace npufa_sim
