// One on-core memory: bytes, and for each 32-byte cell what was written and who touched it last.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "types.h"

namespace npufa_sim {

inline constexpr std::int64_t kCellBytes = 32;

// Who touched a cell. Cells that are touched together share one: instructions work on ranges, not on cells.
struct LocalAccess {
  using Readers = std::array<std::uint32_t, kPipes>;

  std::uint32_t writer = 0;  // index of the last writing instruction; 0: none
  Readers readers{};         // index of the last reading instruction of each pipe since that write
  Pipe writer_pipe = Pipe::kS;
};

// A named range handed out by the kernel's buffer manager.
struct LocalBuffer {
  std::uint64_t begin, end;
  Site site;
};

class LocalMemory {
 public:
  void Configure(std::uint32_t bytes);
  void Forget(std::uint64_t address, std::uint32_t bytes);  // whole cells, as far as there are any: unwritten again
  void Reset();  // every byte unwritten (and a NaN in all formats), no buffers

  std::uint8_t* data() { return data_.data(); }
  const std::uint8_t* data() const { return data_.data(); }
  std::uint32_t bytes() const { return static_cast<std::uint32_t>(data_.size()); }

  // Instructions must announce the bytes they use: Reset() clears only these.
  void Use(std::int64_t first, std::int64_t last) {
    for (std::int64_t chunk = first / kChunkBytes; chunk * kChunkBytes < last; ++chunk) used_[chunk] = 1;
  }

  // A bit per byte of the cell.
  std::uint32_t written(std::int64_t cell) const { return written_[cell]; }
  void SetWritten(std::int64_t cell, std::uint32_t bits) { written_[cell] = bits; }
  void MarkWritten(std::int64_t first, std::int64_t last, bool written);
  bool AllWritten(std::int64_t first, std::int64_t last) const;

  // Cells [cell, result) share one access.
  std::int64_t EndOfRun(std::int64_t cell, std::int64_t end) const {
    const std::uint32_t id = access_of_[cell];
    do ++cell;
    while (cell < end && access_of_[cell] == id);
    return cell;
  }
  std::uint32_t AccessOf(std::int64_t cell) const { return access_of_[cell]; }
  const LocalAccess& Access(std::uint32_t id) const { return accesses_[id]; }
  // Ids stay valid until MakeRoom().
  std::uint32_t AddAccess(const LocalAccess& access);
  void SetAccess(std::int64_t cell, std::int64_t end, std::uint32_t id);
  // Drops accesses that no cell has any more when there are many.
  void MakeRoom() {
    if (accesses_.size() > limit_) Compact();
  }

  // Bit mask of the bytes of [begin, end) that lie in a cell.
  static std::uint32_t MaskOf(std::int64_t cell, std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin > cell * kCellBytes ? begin - cell * kCellBytes : 0;
    const std::int64_t last = end < (cell + 1) * kCellBytes ? end - cell * kCellBytes : kCellBytes;
    const std::uint64_t upto = (std::uint64_t{1} << last) - 1;
    return static_cast<std::uint32_t>(upto & ~((std::uint64_t{1} << first) - 1));
  }

  std::vector<LocalBuffer> buffers;

 private:
  static constexpr std::int64_t kChunkBytes = 2048;
  static constexpr std::size_t kMinLimit = 1024;

  void Compact();

  std::vector<std::uint8_t> data_;
  std::vector<std::uint32_t> written_, access_of_;
  std::vector<LocalAccess> accesses_;  // 0: never touched
  std::size_t limit_ = kMinLimit;
  std::vector<std::uint8_t> used_;  // by chunk
};

}  // namespace npufa_sim
