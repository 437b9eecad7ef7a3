// Which GM lines are in L2, approximately: a line stays until as many others as fit have come in since its last use.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

namespace npufa_sim {

// Lines a transfer touched, read from memory, and pushed back to memory to make room.
struct L2Lines {
  std::uint64_t touched = 0, missed = 0, written_back = 0;
};

// Starts empty. Writes stay in L2 and take no read of the line; a dirty line goes to memory when it is pushed out.
class L2Cache {
 public:
  L2Cache(std::uint64_t capacity, std::uint64_t line_bytes) : line_bytes_(line_bytes), lines_(capacity / line_bytes) {}

  // `count` bursts of `bytes` bytes, `stride` bytes between their starts.
  L2Lines Access(std::uint64_t address, std::uint32_t count, std::uint32_t bytes, std::uint32_t stride, bool write);

 private:
  // Stamp of the last use (fills so far) << 1 | dirty; 0 for a line never seen.
  using Line = std::uint64_t;
  static constexpr std::uint64_t kPageLines = 4096;
  struct Dirty {
    Line* line;
    std::uint64_t stamp;
  };

  Line* PageOf(std::uint64_t page);
  void Touch(Line& line, bool write, L2Lines& result);
  void WriteBack(L2Lines& result);
  bool Gone(std::uint64_t stamp) const { return fills_ - stamp >= lines_; }

  const std::uint64_t line_bytes_, lines_;
  std::uint64_t fills_ = 1;
  std::unordered_map<std::uint64_t, std::unique_ptr<Line[]>> pages_;
  std::uint64_t last_page_ = ~0ULL;
  Line* last_lines_ = nullptr;
  std::deque<Dirty> dirty_;  // about in order of stamp
};

}  // namespace npufa_sim
