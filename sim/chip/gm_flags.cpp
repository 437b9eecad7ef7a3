#include "gm_flags.h"

#include <algorithm>

namespace npufa_sim {

void GmFlags::Publish(std::uint64_t address, int group, const Clock& clock, std::uint32_t event) {
  const std::lock_guard lock(mutex_);
  GmFlag& flag = flags_[address];
  auto chip = flag.clock ? std::make_shared<ChipClock>(*flag.clock)
                         : std::make_shared<ChipClock>(static_cast<std::size_t>(groups_) * kGroupSlots);
  if (clock.chip) {
    for (std::size_t i = 0; i < chip->size(); ++i) (*chip)[i] = std::max((*chip)[i], (*clock.chip)[i]);
  }
  for (int i = 0; i < kGroupSlots; ++i) {
    std::uint32_t& slot = (*chip)[group * kGroupSlots + i];
    slot = std::max(slot, clock.own[i]);
  }
  flag = {std::move(chip), event == 0 ? flag.event : event};
}

std::optional<GmFlag> GmFlags::Look(std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  const auto found = flags_.find(address);
  return found == flags_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace npufa_sim
