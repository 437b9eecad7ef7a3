// Order between cores through words in global memory: who writes one makes known what its core has done by then, and
// who sees it there knows.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "clock.h"

namespace npufa_sim {

struct GmFlag {
  std::shared_ptr<const ChipClock> clock;
  std::uint32_t event = 0;  // of the newest write that takes time, counted from 1; 0: none
};

class GmFlags {
 public:
  explicit GmFlags(int groups) : groups_(groups) {}

  void Publish(std::uint64_t address, int group, const Clock& clock, std::uint32_t event);
  std::optional<GmFlag> Look(std::uint64_t address);

 private:
  const int groups_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, GmFlag> flags_;
};

}  // namespace npufa_sim
