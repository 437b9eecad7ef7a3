// Where a tensor's elements are.
#pragma once

#include <cstdint>

namespace gert {

enum TensorPlacement : std::int32_t { kOnDeviceHbm, kOnHost, kFollowing, kOnDeviceP2p, kTensorPlacementEnd };

}  // namespace gert
