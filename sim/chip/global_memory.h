// Global memory of one launch: the regions a kernel may touch, and for the writable ones who touched which bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "launch.h"
#include "local_memory.h"

namespace npufa_sim {

struct GmTouch {
  std::uint32_t index;  // of the instruction within its core
  std::uint32_t mask;   // bytes of the cell
  std::uint32_t site;   // index into the launch's site table
  std::uint16_t core;   // group * kGroupCores + core in group
  Pipe pipe;
  bool write;
  bool atomic;
};

struct GmCell {
  static constexpr int kInline = 3;
  std::uint32_t written = 0;
  std::uint32_t count = 0;  // touches in use; those beyond kInline live in the page's spill
  GmTouch touches[kInline];
};

inline constexpr std::int64_t kPageCells = 2048;

struct GmPage {
  std::mutex mutex;
  GmCell cells[kPageCells];
  std::unordered_map<int, std::vector<GmTouch>> spill;
};

class GmRegionState {
 public:
  explicit GmRegionState(const GmRegion& region);

  const GmRegion& region() const { return region_; }
  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return begin_ + region_.bytes; }
  // Cells count from the 32-byte block that holds the region's first byte.
  std::uint64_t origin() const { return begin_ & ~std::uint64_t{kCellBytes - 1}; }
  GmPage& Page(std::int64_t cell);

 private:
  GmRegion region_;
  std::uint64_t begin_;
  std::vector<std::atomic<GmPage*>> pages_;
  std::vector<std::unique_ptr<GmPage>> owned_;
  std::mutex mutex_;
};

class GlobalMemory {
 public:
  explicit GlobalMemory(const std::vector<GmRegion>& regions);
  // Region that holds the address; null when none does.
  GmRegionState* Find(std::uint64_t address) const;
  // Region that begins or ends closest below the address, for messages.
  GmRegionState* Nearest(std::uint64_t address) const;

 private:
  std::vector<std::unique_ptr<GmRegionState>> regions_;  // by address
};

}  // namespace npufa_sim
