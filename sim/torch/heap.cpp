#include "heap.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <sstream>

namespace npufa_sim {

namespace {

constexpr std::size_t kAlignment = 512;

}  // namespace

bool Heap::Fits(std::size_t bytes, std::uint64_t limit, std::int32_t account) const {
  const auto used = used_.find(account);
  return bytes <= limit && (used == used_.end() || used->second <= limit - bytes);
}

void* Heap::Allocate(std::size_t bytes, std::uint64_t limit, std::int32_t account) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded < bytes || !Fits(rounded, limit, account)) return nullptr;
  // Fresh memory is zero, which programs rely on although nobody promises it.
  void* storage = std::calloc(1, rounded + kAlignment);
  if (storage == nullptr) return nullptr;
  char* memory = static_cast<char*>(storage);
  memory += kAlignment - reinterpret_cast<std::uintptr_t>(storage) % kAlignment;
  blocks_[memory] = {rounded, bytes, storage, false, account};
  used_[account] += rounded;
  return memory;
}

bool Heap::Free(void* memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto block = blocks_.find(static_cast<char*>(memory));
  if (block == blocks_.end() || block->second.storage == nullptr) return false;
  used_[block->second.account] -= block->second.rounded;
  std::free(block->second.storage);
  blocks_.erase(block);
  return true;
}

bool Heap::Take(std::size_t bytes, std::uint64_t limit, std::int32_t account) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!Fits(bytes, limit, account)) return false;
  used_[account] += bytes;
  return true;
}

void Heap::GiveBack(std::size_t bytes, std::int32_t account) {
  const std::lock_guard<std::mutex> lock(mutex_);
  used_[account] -= bytes;
}

void Heap::Map(char* begin, std::size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Block joined{bytes, bytes, nullptr, false};
  const char* start = begin;
  const auto below = Find(begin - 1);
  if (below != blocks_.end() && below->second.storage == nullptr) {
    start = below->first;
    joined.bytes += below->second.bytes;
    joined.written |= below->second.written;
    blocks_.erase(below);
  }
  const auto above = blocks_.find(begin + bytes);
  if (above != blocks_.end() && above->second.storage == nullptr) {
    joined.bytes += above->second.bytes;
    joined.written |= above->second.written;
    blocks_.erase(above);
  }
  joined.rounded = joined.bytes;
  blocks_[start] = joined;
}

void Heap::Unmap(char* begin, std::size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = Find(begin);
  const auto [start, block] = *found;
  blocks_.erase(found);
  const auto keep = [&](const char* from, std::size_t count) {
    if (count != 0) blocks_[from] = {count, count, nullptr, block.written};
  };
  const std::size_t before = static_cast<std::size_t>(begin - start);
  keep(start, before);
  keep(begin + bytes, block.bytes - before - bytes);
}

std::uint64_t Heap::BytesFrom(const void* address) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const char* at = static_cast<const char*>(address);
  const auto block = Find(at);
  return block == blocks_.end() ? 0 : static_cast<std::uint64_t>(block->first + block->second.rounded - at);
}

void Heap::MarkWritten(const void* address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto block = Find(static_cast<const char*>(address));
  if (block != blocks_.end()) block->second.written = true;
}

std::vector<GmRegion> Heap::Regions() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<GmRegion> regions;
  for (const auto& [begin, block] : blocks_) {
    regions.push_back({"device memory of " + std::to_string(block.bytes) + " bytes", const_cast<char*>(begin),
                       block.bytes, true, block.written});
  }
  return regions;
}

std::uint64_t Heap::Used(std::int32_t account) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto used = used_.find(account);
  return used == used_.end() ? 0 : used->second;
}

Heap::Blocks::const_iterator Heap::Find(const char* at) const {
  const auto next = blocks_.upper_bound(at);
  if (next == blocks_.begin()) return blocks_.end();
  const auto block = std::prev(next);
  return at < block->first + block->second.rounded ? block : blocks_.end();
}

std::string Hex(const void* address) {
  std::ostringstream text;
  text << address;
  return text.str();
}

}  // namespace npufa_sim
