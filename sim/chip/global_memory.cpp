#include "global_memory.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace npufa_sim {
namespace {

// Pages of earlier launches.
class PagePool {
 public:
  std::unique_ptr<GmPage> Take() {
    std::unique_ptr<GmPage> page;
    {
      std::lock_guard lock(mutex_);
      if (!pages_.empty()) {
        page = std::move(pages_.back());
        pages_.pop_back();
      }
    }
    if (!page) page = std::make_unique<GmPage>();
    page->Reset();
    return page;
  }

  void Give(std::vector<std::unique_ptr<GmPage>>& pages) {
    std::lock_guard lock(mutex_);
    while (!pages.empty() && pages_.size() < kKept) {
      pages_.push_back(std::move(pages.back()));
      pages.pop_back();
    }
  }

  // Never destroyed: launches may end later than static objects do.
  static PagePool& Get() {
    static auto* pool = new PagePool;
    return *pool;
  }

 private:
  static constexpr std::size_t kKept = 4096;

  std::mutex mutex_;
  std::vector<std::unique_ptr<GmPage>> pages_;
};

}  // namespace

void GmPage::Reset() {
  std::memset(written, 0, sizeof written);
  std::memset(list, 0, sizeof list);
  ends_.assign(1, 0);
  touches_.clear();
  limit_ = kMinLimit;
}

std::uint32_t GmPage::AddList() {
  ends_.push_back(static_cast<std::uint32_t>(touches_.size()));
  return static_cast<std::uint32_t>(ends_.size() - 1);
}

void GmPage::Compact() {
  std::vector<std::uint32_t> number(ends_.size(), 0), ends(1, 0);
  std::vector<GmTouch> touches;
  for (std::uint32_t& own : list) {
    if (own == 0) continue;
    if (number[own] == 0) {
      const std::span<const GmTouch> kept = TouchesOf(own);
      touches.insert(touches.end(), kept.begin(), kept.end());
      number[own] = static_cast<std::uint32_t>(ends.size());
      ends.push_back(static_cast<std::uint32_t>(touches.size()));
    }
    own = number[own];
  }
  ends_ = std::move(ends);
  touches_ = std::move(touches);
  limit_ = std::max(kMinLimit, 2 * touches_.size());
}

GmRegionState::GmRegionState(const GmRegion& region)
    : region_(region), begin_(reinterpret_cast<std::uint64_t>(region.data)) {
  const std::uint64_t cells = (end() - origin() + kCellBytes - 1) / kCellBytes;
  if (region.writable) pages_ = std::vector<std::atomic<GmPage*>>((cells + kPageCells - 1) / kPageCells);
}

GmRegionState::~GmRegionState() { PagePool::Get().Give(owned_); }

GmPage& GmRegionState::Page(std::int64_t cell) {
  std::atomic<GmPage*>& slot = pages_[cell / kPageCells];
  GmPage* page = slot.load(std::memory_order_acquire);
  if (page) return *page;
  std::lock_guard lock(mutex_);
  page = slot.load(std::memory_order_acquire);
  if (!page) {
    page = owned_.emplace_back(PagePool::Get().Take()).get();
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

std::vector<void*> GlobalMemory::Used() const {
  std::vector<void*> used;
  for (const auto& region : regions_) {
    if (region->used()) used.push_back(region->region().data);
  }
  return used;
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
