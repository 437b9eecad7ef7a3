// What stands behind the opaque platform description of a tiling context.
#pragma once

#include "chip/description.h"

namespace fe {

class PlatFormInfos {
 public:
  explicit PlatFormInfos(const npufa_sim::ChipDescription& description) : chip(description) {}
  const npufa_sim::ChipDescription& chip;
};

}  // namespace fe
