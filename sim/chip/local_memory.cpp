#include "local_memory.h"

#include <cstring>

namespace npufa_sim {

void LocalMemory::Configure(std::uint32_t bytes) {
  data_.resize(bytes);
  cells_.resize((bytes + kCellBytes - 1) / kCellBytes);
}

void LocalMemory::Reset() {
  std::memset(data_.data(), 0xff, data_.size());
  std::memset(static_cast<void*>(cells_.data()), 0, cells_.size() * sizeof(LocalCell));
  buffers.clear();
}

}  // namespace npufa_sim
