// What stands behind the opaque platform description of a tiling context.
#pragma once

#include "chip/description.h"
#include "torch/runtime.h"

namespace fe {

class PlatFormInfos {
 public:
  PlatFormInfos(const npufa_sim::ChipDescription& description, npufa_sim::CoreCounts available)
      : chip(description), cores(available) {}
  const npufa_sim::ChipDescription& chip;
  const npufa_sim::CoreCounts cores;  // of the chip's, those that the process has
};

}  // namespace fe
