// The simulated devices. There is one.
#pragma once

#include <cstdint>

namespace npufa_sim {

inline constexpr std::int32_t kDeviceCount = 1;

}  // namespace npufa_sim
