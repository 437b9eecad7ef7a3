#include "l2_cache.h"

namespace npufa_sim {

L2Cache::Line* L2Cache::PageOf(std::uint64_t page) {
  if (page != last_page_) {
    std::unique_ptr<Line[]>& lines = pages_[page];
    if (!lines) lines = std::make_unique<Line[]>(kPageLines);
    last_page_ = page;
    last_lines_ = lines.get();
  }
  return last_lines_;
}

void L2Cache::WriteBack(L2Lines& result) {
  while (!dirty_.empty() && Gone(dirty_.front().stamp)) {
    Line* line = dirty_.front().line;
    dirty_.pop_front();
    const std::uint64_t stamp = *line >> 1;
    if (Gone(stamp)) {
      *line &= ~1ULL;
      ++result.written_back;
    } else {
      dirty_.push_back({line, stamp});
    }
  }
}

void L2Cache::Touch(Line& line, bool write, L2Lines& result) {
  ++result.touched;
  if (line == 0 || Gone(line >> 1)) {
    ++fills_;
    if (!write) ++result.missed;
    WriteBack(result);
  }
  const bool was_dirty = line & 1;
  line = fills_ << 1 | static_cast<Line>(was_dirty || write);
  if (write && !was_dirty) dirty_.push_back({&line, fills_});
}

L2Lines L2Cache::Access(std::uint64_t address, std::uint32_t count, std::uint32_t bytes, std::uint32_t stride,
                        bool write) {
  L2Lines result;
  if (bytes == 0) return result;
  for (std::uint32_t burst = 0; burst < count; ++burst) {
    const std::uint64_t begin = address + static_cast<std::uint64_t>(burst) * stride;
    const std::uint64_t last = (begin + bytes - 1) / line_bytes_;
    for (std::uint64_t line = begin / line_bytes_; line <= last; ++line) {
      Touch(PageOf(line / kPageLines)[line % kPageLines], write, result);
    }
  }
  return result;
}

}  // namespace npufa_sim
