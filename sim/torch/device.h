// The simulated devices of a process: one, or as many as NPUFA_SIM_DEVICES says.
#pragma once

#include <cstdint>

namespace npufa_sim {

inline constexpr std::int32_t kMostDevices = 16;  // as many as a host of Atlas chips has

std::int32_t DeviceCount();

// That of the calling thread; 0 before it has chosen one.
std::int32_t CurrentDevice();

}  // namespace npufa_sim
