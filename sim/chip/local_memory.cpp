#include "local_memory.h"

#include <cstring>

namespace npufa_sim {

void LocalMemory::Configure(std::uint32_t bytes) {
  data_.resize(bytes);
  cells_.resize((bytes + kCellBytes - 1) / kCellBytes);
}

void LocalMemory::Forget(std::uint64_t address, std::uint32_t bytes) {
  const std::uint64_t end = (address + bytes) / kCellBytes;
  for (std::uint64_t index = address / kCellBytes; index < end; ++index) cells_[index].written = 0;
}

void LocalMemory::Reset() {
  std::memset(data_.data(), 0xff, data_.size());
  std::memset(static_cast<void*>(cells_.data()), 0, cells_.size() * sizeof(LocalCell));
  buffers.clear();
}

}  // namespace npufa_sim
