// Memory that is accounted for: which ranges of addresses are allocated, and how many bytes are taken.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "acl/acl_base.h"
#include "runtime.h"

namespace npufa_sim {

class Heap {
 public:
  // Fresh zeroed memory; null where the account (a device) would exceed `limit` bytes, or the host has no more.
  void* Allocate(std::size_t bytes, std::uint64_t limit, std::int32_t account = 0);
  // False unless the address is the start of an allocation.
  bool Free(void* memory);

  // Bytes without an address, which come to have one by Map. Take is false where `limit` would be exceeded.
  bool Take(std::size_t bytes, std::uint64_t limit, std::int32_t account);
  void GiveBack(std::size_t bytes, std::int32_t account);
  // The range is memory from now on, one piece with what was mapped beside it; or no longer.
  void Map(char* begin, std::size_t bytes);
  void Unmap(char* begin, std::size_t bytes);

  // Bytes from the address to the end of its allocation; 0 outside of all.
  std::uint64_t BytesFrom(const void* address) const;
  void MarkWritten(const void* address);
  std::vector<GmRegion> Regions() const;
  std::uint64_t Used(std::int32_t account) const;

 private:
  struct Block {
    std::size_t rounded, bytes;
    void* storage;  // what calloc returned; null for a mapped range
    mutable bool written;
    std::int32_t account = 0;
  };
  using Blocks = std::map<const char*, Block>;

  bool Fits(std::size_t bytes, std::uint64_t limit, std::int32_t account) const;
  Blocks::const_iterator Find(const char* at) const;

  mutable std::mutex mutex_;
  Blocks blocks_;
  std::map<std::int32_t, std::uint64_t> used_;  // bytes, by account
};

Heap& DeviceHeap();

// Fails with how much of the chip's memory is in use.
aclError DeviceIsFull(const char* function, std::size_t bytes);

std::string Hex(const void* address);

}  // namespace npufa_sim
