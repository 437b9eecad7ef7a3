#include "cross_core.h"

#include <algorithm>

namespace npufa_sim {

std::uint32_t CrossCoreFlags::Signal(const std::tuple<int, int, int>& channel_key, int core, int participants,
                                     const Clock& clock, const std::vector<int>& receivers, Site site) {
  std::lock_guard lock(mutex_);
  Channel& channel = channels_[channel_key];
  const std::uint64_t sequence = channel.sent[core]++;
  auto [found, is_new] = channel.open.try_emplace(sequence);
  CrossEvent& event = found->second;
  if (is_new) {
    event.id = next_event_++;
    event.participants = participants;
    event.receivers = receivers;
  }
  event.setters.push_back(core);
  event.site = site;
  event.clocks.emplace_back(core / kGroupCores, clock);
  const std::uint32_t id = event.id;
  if (static_cast<int>(event.setters.size()) == participants) {
    const CrossDelivery delivery{id, Merge(event), site, std::get<0>(channel_key) < 0};
    for (const int receiver : receivers) inboxes_[receiver][std::get<2>(channel_key)].push_back(delivery);
    channel.open.erase(found);
  }
  return id;
}

Clock CrossCoreFlags::Merge(const CrossEvent& event) const {
  bool one_group = true;
  for (const auto& [group, clock] : event.clocks) one_group &= group == event.clocks.front().first;
  Clock merged;
  if (one_group) {
    for (const auto& [group, clock] : event.clocks) merged.Join(clock);
    return merged;
  }
  // Known to everybody from here on; a group's own part travels in the chip-wide clock as well.
  auto chip = std::make_shared<ChipClock>(static_cast<std::size_t>(groups_) * kGroupSlots);
  for (const auto& [group, clock] : event.clocks) {
    for (int i = 0; i < kGroupSlots; ++i) {
      std::uint32_t& slot = (*chip)[group * kGroupSlots + i];
      slot = std::max(slot, clock.own[i]);
    }
    if (clock.chip) {
      for (std::size_t i = 0; i < chip->size(); ++i) (*chip)[i] = std::max((*chip)[i], (*clock.chip)[i]);
    }
  }
  merged.chip = std::move(chip);
  return merged;
}

bool CrossCoreFlags::Take(int core, int flag, bool chip_wide, Shuffle& shuffle, CrossDelivery* delivery) {
  std::lock_guard lock(mutex_);
  auto& inbox = inboxes_[core][flag];
  std::vector<std::list<CrossDelivery>::iterator> here;
  for (auto it = inbox.begin(); it != inbox.end(); ++it) {
    if (chip_wide || !it->chip_wide) here.push_back(it);
  }
  if (here.empty()) return false;
  const auto taken = here[shuffle.Below(static_cast<std::uint32_t>(here.size()))];
  *delivery = std::move(*taken);
  inbox.erase(taken);
  return true;
}

std::array<bool, kGroupCores> CrossCoreFlags::Ready(int group, const std::array<int, kGroupCores>& flags,
                                                    bool chip_wide) {
  std::lock_guard lock(mutex_);
  std::array<bool, kGroupCores> ready{};
  for (int i = 0; i < kGroupCores; ++i) {
    if (flags[i] < 0) continue;
    for (const CrossDelivery& delivery : inboxes_[group * kGroupCores + i][flags[i]]) {
      ready[i] |= chip_wide || !delivery.chip_wide;
    }
  }
  return ready;
}

int CrossCoreFlags::Pending(const std::tuple<int, int, int>& channel, int core, const std::vector<int>& receivers) {
  std::lock_guard lock(mutex_);
  std::size_t pending = 0;
  for (const int receiver : receivers) pending = std::max(pending, inboxes_[receiver][std::get<2>(channel)].size());
  // Those that other participants have not set yet.
  for (const auto& [sequence, event] : channels_[channel].open) {
    pending += std::find(event.setters.begin(), event.setters.end(), core) != event.setters.end();
  }
  return static_cast<int>(pending);
}

std::vector<CrossLeftOver> CrossCoreFlags::LeftOver() {
  std::lock_guard lock(mutex_);
  std::vector<CrossLeftOver> left;
  for (const auto& [key, channel] : channels_) {
    for (const auto& [sequence, event] : channel.open) {
      left.push_back({std::get<2>(key), event.site, event.participants, event.setters, event.receivers});
    }
  }
  for (std::size_t core = 0; core < inboxes_.size(); ++core) {
    for (int flag = 0; flag < kCrossFlags; ++flag) {
      for (const CrossDelivery& delivery : inboxes_[core][flag]) {
        left.push_back({flag, delivery.site, 0, {}, {static_cast<int>(core)}});
      }
    }
  }
  return left;
}

}  // namespace npufa_sim
