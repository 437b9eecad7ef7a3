#include "global_memory.h"

#include <algorithm>
#include <iterator>

namespace npufa_sim {

GmRegionState::GmRegionState(const GmRegion& region)
    : region_(region), begin_(reinterpret_cast<std::uint64_t>(region.data)) {
  const std::uint64_t cells = (end() - origin() + kCellBytes - 1) / kCellBytes;
  if (region.writable) pages_ = std::vector<std::atomic<GmPage*>>((cells + kPageCells - 1) / kPageCells);
}

GmPage& GmRegionState::Page(std::int64_t cell) {
  std::atomic<GmPage*>& slot = pages_[cell / kPageCells];
  GmPage* page = slot.load(std::memory_order_acquire);
  if (page) return *page;
  std::lock_guard lock(mutex_);
  page = slot.load(std::memory_order_acquire);
  if (!page) {
    page = owned_.emplace_back(std::make_unique<GmPage>()).get();
    slot.store(page, std::memory_order_release);
  }
  return *page;
}

// Tensors may share memory (key and value of one storage, in-place outputs): overlapping regions become one.
GlobalMemory::GlobalMemory(const std::vector<GmRegion>& regions) {
  std::vector<GmRegion> sorted;
  std::copy_if(regions.begin(), regions.end(), std::back_inserter(sorted), [](const auto& r) { return r.bytes > 0; });
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.data < b.data; });
  std::vector<GmRegion> merged;
  for (const GmRegion& region : sorted) {
    auto* begin = static_cast<std::uint8_t*>(region.data);
    if (merged.empty() || static_cast<std::uint8_t*>(merged.back().data) + merged.back().bytes <= begin) {
      merged.push_back(region);
      continue;
    }
    GmRegion& last = merged.back();
    last.bytes = std::max<std::uint64_t>(last.bytes, begin + region.bytes - static_cast<std::uint8_t*>(last.data));
    last.name += "/" + region.name;
    last.writable |= region.writable;
    last.written |= region.written;
  }
  for (const GmRegion& region : merged) regions_.push_back(std::make_unique<GmRegionState>(region));
}

GmRegionState* GlobalMemory::Nearest(std::uint64_t address) const {
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                      [](std::uint64_t value, const auto& region) { return value < region->begin(); });
  return after == regions_.begin() ? nullptr : std::prev(after)->get();
}

GmRegionState* GlobalMemory::Find(std::uint64_t address) const {
  GmRegionState* region = Nearest(address);
  return region && address < region->end() ? region : nullptr;
}

}  // namespace npufa_sim
