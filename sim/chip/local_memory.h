// One on-core memory: bytes, and for each 32-byte cell what was written and who touched it last.
#pragma once

#include <cstdint>
#include <vector>

#include "types.h"

namespace npufa_sim {

inline constexpr std::int64_t kCellBytes = 32;

struct LocalCell {
  std::uint32_t written;        // a bit per byte
  std::uint32_t writer;         // index of the last writing instruction; 0: none
  std::uint32_t readers[kPipes];  // index of the last reading instruction of each pipe since that write
  Pipe writer_pipe;
};

// A named range handed out by the kernel's buffer manager.
struct LocalBuffer {
  std::uint64_t begin, end;
  Site site;
};

class LocalMemory {
 public:
  void Configure(std::uint32_t bytes);
  void Forget(std::uint64_t address, std::uint32_t bytes);  // whole cells
  void Reset();  // every byte unwritten (and a NaN in all formats), no buffers

  std::uint8_t* data() { return data_.data(); }
  std::uint32_t bytes() const { return static_cast<std::uint32_t>(data_.size()); }
  LocalCell& cell(std::int64_t index) { return cells_[index]; }

  // Bit mask of the bytes of [begin, end) that lie in a cell.
  static std::uint32_t MaskOf(std::int64_t cell, std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin > cell * kCellBytes ? begin - cell * kCellBytes : 0;
    const std::int64_t last = end < (cell + 1) * kCellBytes ? end - cell * kCellBytes : kCellBytes;
    const std::uint64_t upto = (std::uint64_t{1} << last) - 1;
    return static_cast<std::uint32_t>(upto & ~((std::uint64_t{1} << first) - 1));
  }

  std::vector<LocalBuffer> buffers;

 private:
  std::vector<std::uint8_t> data_;
  std::vector<LocalCell> cells_;
};

}  // namespace npufa_sim
