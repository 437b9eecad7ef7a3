#include "shuffle.h"

#include <cstdlib>

namespace npufa_sim {

std::uint64_t ShuffleSeed() {
  const char* text = std::getenv("NPUFA_SIM_SHUFFLE");
  return text ? std::strtoull(text, nullptr, 10) : 0;
}

}  // namespace npufa_sim
