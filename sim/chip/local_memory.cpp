#include "local_memory.h"

#include <algorithm>
#include <cstring>

namespace npufa_sim {
namespace {

constexpr std::uint32_t kAll = ~std::uint32_t{0};
constexpr std::uint8_t kUnwrittenByte = 0xff;  // a NaN in all formats

}  // namespace

void LocalMemory::Configure(std::uint32_t bytes) {
  if (bytes == data_.size()) return;
  const std::size_t cells = (bytes + kCellBytes - 1) / kCellBytes;
  data_.assign(bytes, kUnwrittenByte);
  written_.assign(cells, 0);
  access_of_.assign(cells, 0);
  used_.assign((bytes + kChunkBytes - 1) / kChunkBytes, 0);
}

void LocalMemory::Forget(std::uint64_t address, std::uint32_t bytes) {
  const std::uint64_t end = std::min<std::uint64_t>(address + bytes, data_.size()) / kCellBytes;
  const std::uint64_t first = std::min(address / kCellBytes, end);
  std::fill(written_.begin() + first, written_.begin() + end, 0);
  std::fill(data_.begin() + first * kCellBytes, data_.begin() + end * kCellBytes, kUnwrittenByte);
}

void LocalMemory::Reset() {
  constexpr std::int64_t kChunkCells = kChunkBytes / kCellBytes;
  for (std::size_t chunk = 0; chunk < used_.size(); ++chunk) {
    if (used_[chunk] == 0) continue;
    used_[chunk] = 0;
    const std::size_t byte = chunk * kChunkBytes, cell = chunk * kChunkCells;
    const std::size_t cells = std::min<std::size_t>(kChunkCells, written_.size() - cell);
    std::memset(data_.data() + byte, kUnwrittenByte, std::min<std::size_t>(kChunkBytes, data_.size() - byte));
    std::fill_n(written_.begin() + cell, cells, 0);
    std::fill_n(access_of_.begin() + cell, cells, 0);
  }
  accesses_.assign(1, {});
  limit_ = kMinLimit;
  buffers.clear();
}

void LocalMemory::MarkWritten(std::int64_t first, std::int64_t last, bool written) {
  const auto mark = [&](std::int64_t cell) {
    const std::uint32_t mask = MaskOf(cell, first, last);
    written_[cell] = written ? written_[cell] | mask : written_[cell] & ~mask;
  };
  const std::int64_t whole = (first + kCellBytes - 1) / kCellBytes, whole_end = last / kCellBytes;
  if (first % kCellBytes != 0) mark(first / kCellBytes);
  if (whole < whole_end) std::fill(written_.begin() + whole, written_.begin() + whole_end, written ? kAll : 0);
  if (last % kCellBytes != 0 && whole <= whole_end) mark(whole_end);
}

bool LocalMemory::AllWritten(std::int64_t first, std::int64_t last) const {
  const auto complete = [&](std::int64_t cell) {
    const std::uint32_t mask = MaskOf(cell, first, last);
    return (written_[cell] & mask) == mask;
  };
  const std::int64_t whole = (first + kCellBytes - 1) / kCellBytes, whole_end = last / kCellBytes;
  std::uint32_t all = kAll;
  for (std::int64_t cell = whole; cell < whole_end; ++cell) all &= written_[cell];
  return all == kAll && (first % kCellBytes == 0 || complete(first / kCellBytes)) &&
         (last % kCellBytes == 0 || complete(whole_end));
}

std::uint32_t LocalMemory::AddAccess(const LocalAccess& access) {
  accesses_.push_back(access);
  return static_cast<std::uint32_t>(accesses_.size() - 1);
}

void LocalMemory::SetAccess(std::int64_t cell, std::int64_t end, std::uint32_t id) {
  std::fill(access_of_.begin() + cell, access_of_.begin() + end, id);
}

void LocalMemory::Compact() {
  std::vector<std::uint32_t> moved_to(accesses_.size(), 0);
  std::vector<LocalAccess> kept(1);
  for (std::uint32_t& id : access_of_) {
    if (id == 0) continue;
    if (moved_to[id] == 0) {
      moved_to[id] = static_cast<std::uint32_t>(kept.size());
      kept.push_back(accesses_[id]);
    }
    id = moved_to[id];
  }
  accesses_ = std::move(kept);
  limit_ = std::max(kMinLimit, 2 * accesses_.size());
}

}  // namespace npufa_sim
