// Which GM lines another core has read a moment ago.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace npufa_sim {

class SharedReads {
 public:
  // A core reads a line at `time`. True when another core read it within `window` cycles before or after; a line that
  // shares its slot with a newer one is forgotten.
  bool Read(std::uint64_t line, int core, double time, double window) {
    Slot& slot = slots_[line * kSpread >> (64 - kBits)];
    if (slot.line != line) slot = {line, {}, {}};
    if (slot.last.core != core) std::swap(slot.last, slot.before);
    const Reader& other = slot.before;
    slot.last = {core, time};
    return other.core >= 0 && std::abs(time - other.time) <= window;
  }

 private:
  struct Reader {
    int core = -1;
    double time = 0;
  };
  struct Slot {
    std::uint64_t line = 0;
    Reader last, before;  // of different cores
  };
  static constexpr int kBits = 14;
  static constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15;

  std::vector<Slot> slots_ = std::vector<Slot>(std::size_t{1} << kBits);
};

}  // namespace npufa_sim
