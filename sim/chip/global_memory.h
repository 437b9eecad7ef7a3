// Global memory of one launch: the regions a kernel may touch, and for the writable ones who touched which bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
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
  std::uint32_t content;  // of a copy: which bytes it writes where, as a number; 0: unknown
};

inline constexpr std::int64_t kPageCells = 512;

// The shadow of 16 KB. Cells that are touched together share one list of touches; list 0 is empty.
class GmPage {
 public:
  void Reset();
  std::span<const GmTouch> TouchesOf(std::uint32_t list) const {
    const std::uint32_t begin = list == 0 ? 0 : ends_[list - 1];
    return {touches_.data() + begin, ends_[list] - begin};
  }
  // A new list grows by Append() until AddList() returns its number.
  void Append(const GmTouch& touch) { touches_.push_back(touch); }
  std::uint32_t AddList();
  // Drops lists that no cell has any more when there are many; numbers change.
  void MakeRoom() {
    if (touches_.size() > limit_) Compact();
  }

  std::mutex mutex;
  std::uint32_t written[kPageCells];  // a bit per byte
  std::uint32_t list[kPageCells];

 private:
  static constexpr std::size_t kMinLimit = 1024;

  void Compact();

  std::vector<std::uint32_t> ends_;
  std::vector<GmTouch> touches_;
  std::size_t limit_ = kMinLimit;
};

class GmRegionState {
 public:
  explicit GmRegionState(const GmRegion& region);
  ~GmRegionState();
  GmRegionState(const GmRegionState&) = delete;
  GmRegionState& operator=(const GmRegionState&) = delete;

  const GmRegion& region() const { return region_; }
  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return begin_ + region_.bytes; }
  // Cells count from the 32-byte block that holds the region's first byte.
  std::uint64_t origin() const { return begin_ & ~std::uint64_t{kCellBytes - 1}; }
  GmPage& Page(std::int64_t cell);
  bool used() const { return !owned_.empty(); }

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
  // Starts of the writable regions that were read or written.
  std::vector<void*> Used() const;

 private:
  std::vector<std::unique_ptr<GmRegionState>> regions_;  // by address
};

}  // namespace npufa_sim
