// Flags between cores: sets are counted, complete when every participant has set, then delivered to the waiting cores.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "clock.h"
#include "shuffle.h"

namespace npufa_sim {

inline constexpr int kCrossFlags = 16;

struct CrossEvent {
  std::uint32_t id = 0;
  int participants = 0;
  std::vector<int> setters;  // cores that have set it
  std::vector<int> receivers;
  Site site;  // of the last set
  // What every participant had completed, by group; one entry for events within a group.
  std::vector<std::pair<int, Clock>> clocks;
};

struct CrossDelivery {
  std::uint32_t id = 0;
  Clock clock;
  Site site;
  bool chip_wide = false;  // of all cores, not of a group
};

// Sets that came to nothing: an event that not all participants have set, or one that a receiver never waited for.
struct CrossLeftOver {
  int flag = 0;
  Site site;
  int participants = 0;
  std::vector<int> setters;    // empty when the event is complete
  std::vector<int> receivers;  // of an incomplete event all, of a complete one those that did not wait
};

// All cross-core state of one launch. Cores are numbered group * kGroupCores + index.
class CrossCoreFlags {
 public:
  CrossCoreFlags(int groups, int cores) : groups_(groups), inboxes_(cores) {}

  // One core's signal on `channel` (scope, kind, flag): the n-th signals of `participants` cores make the n-th event,
  // delivered to `receivers`. Returns the event's id.
  std::uint32_t Signal(const std::tuple<int, int, int>& channel, int core, int participants, const Clock& clock,
                       const std::vector<int>& receivers, Site site);
  // Takes a delivery if there is one. Flags of one core may take effect in any order: `shuffle` decides.
  bool Take(int core, int flag, bool chip_wide, Shuffle& shuffle, CrossDelivery* delivery);
  // For each core of a group whether what it waits for is there; flags: -1 for cores that do not wait.
  std::array<bool, kGroupCores> Ready(int group, const std::array<int, kGroupCores>& flags, bool chip_wide);
  // The most sets of a core that the counter of a receiver has to hold.
  int Pending(const std::tuple<int, int, int>& channel, int core, const std::vector<int>& receivers);
  std::vector<CrossLeftOver> LeftOver();
  std::uint32_t NewEvent() {
    const std::lock_guard lock(mutex_);
    return next_event_++;
  }
  std::uint32_t events() const { return next_event_; }

 private:
  struct Channel {
    std::map<int, std::uint64_t> sent;  // by core
    std::map<std::uint64_t, CrossEvent> open;
  };
  using Inbox = std::list<CrossDelivery>[kCrossFlags];

  Clock Merge(const CrossEvent& event) const;

  const int groups_;
  std::mutex mutex_;
  std::map<std::tuple<int, int, int>, Channel> channels_;
  std::vector<Inbox> inboxes_;
  std::uint32_t next_event_ = 0;
};

}  // namespace npufa_sim
