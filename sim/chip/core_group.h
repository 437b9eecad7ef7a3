// A cube core and its two vector cores with their programs. Groups outlive launches: their memories are large.
#pragma once

#include <array>
#include <memory>

#include "core.h"
#include "fiber.h"

namespace npufa_sim {

struct Runner {
  Core core;
  Fiber fiber;
};

struct CoreGroup {
  // One that no launch uses; Core::Start() brings its cores into their first state.
  static std::unique_ptr<CoreGroup> Take(const ChipDescription& chip);
  static void Give(std::unique_ptr<CoreGroup> group);

  bool done() const {
    for (int i = 0; i < kGroupCores; ++i)
      if (used[i] && !runners[i].fiber.done()) return false;
    return true;
  }

  int id = -1;
  Shuffle shuffle;  // whose turn it is
  std::array<Runner, kGroupCores> runners;
  std::array<bool, kGroupCores> used{};
};

}  // namespace npufa_sim
