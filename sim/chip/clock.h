// Vector clocks: which instructions of which pipe are known to be complete. Indices are per core, in program order from 1.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "types.h"

namespace npufa_sim {

inline constexpr int kGroupCores = 3;   // cube, vector 0, vector 1
inline constexpr int kGroupSlots = 24;  // kGroupCores * kPipes, padded

inline int SlotOf(int core_in_group, Pipe pipe) { return core_in_group * kPipes + static_cast<int>(pipe); }

// What a chip-wide synchronisation made known about every group: groups * kGroupSlots entries.
using ChipClock = std::vector<std::uint32_t>;

struct Clock {
  std::array<std::uint32_t, kGroupSlots> own{};  // this group's pipes
  std::shared_ptr<const ChipClock> chip;         // other groups'; null while nothing is known

  void Join(const Clock& other) {
    for (int i = 0; i < kGroupSlots; ++i) own[i] = std::max(own[i], other.own[i]);
    JoinChip(other.chip);
  }

  void JoinChip(const std::shared_ptr<const ChipClock>& other) {
    if (!other || other == chip) return;
    if (!chip) {
      chip = other;
      return;
    }
    auto merged = std::make_shared<ChipClock>(*chip);
    for (std::size_t i = 0; i < merged->size(); ++i) (*merged)[i] = std::max((*merged)[i], (*other)[i]);
    chip = std::move(merged);
  }
};

}  // namespace npufa_sim
