#include "patience.h"

#include <algorithm>
#include <cstdlib>

namespace npufa_sim {

std::uint32_t Patience() {
  constexpr std::uint64_t kDefault = std::uint64_t{1} << 25, kMost = ~std::uint32_t{0};
  const char* text = std::getenv("NPUFA_SIM_PATIENCE");
  const std::uint64_t value = text ? std::strtoull(text, nullptr, 10) : 0;
  return static_cast<std::uint32_t>(std::min(value > 0 ? value : kDefault, kMost));
}

}  // namespace npufa_sim
