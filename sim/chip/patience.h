// When a program is taken to be without an end.
#pragma once

#include <cstdint>

namespace npufa_sim {

// Instructions of a core that may pass before it comes to a new place in global memory: NPUFA_SIM_PATIENCE of the
// environment.
std::uint32_t Patience();

}  // namespace npufa_sim
