// Statements of a kernel, numbered once per launch.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "record.h"

namespace npufa_sim {

// Literals of one statement have one address; a copy of the text in another program only costs a second look-up.
class SiteTable {
 public:
  std::uint32_t Add(const char* instruction, Site site) {
    std::lock_guard lock(mutex_);
    const auto [known, is_new_copy] = by_address_.try_emplace({instruction, site.file, site.line}, 0);
    if (!is_new_copy) return known->second;
    const auto [found, is_new] =
        index_.emplace(std::make_tuple(std::string(instruction), std::string(site.file), site.line), sites_.size());
    if (is_new) sites_.push_back({instruction, site.file, site.line});
    return known->second = found->second;
  }

  TraceSite Get(std::uint32_t index) {
    std::lock_guard lock(mutex_);
    return sites_[index];
  }

  std::vector<TraceSite> All() {
    std::lock_guard lock(mutex_);
    return {sites_.begin(), sites_.end()};
  }

 private:
  std::mutex mutex_;
  std::map<std::tuple<const char*, const char*, int>, std::uint32_t> by_address_;
  std::map<std::tuple<std::string, std::string, int>, std::uint32_t> index_;
  std::deque<TraceSite> sites_;
};

// The numbers of the statements a core has met lately.
class SiteCache {
 public:
  void Clear() { entries_.fill({}); }

  std::uint32_t Find(SiteTable& table, const char* instruction, Site site) {
    const auto text = reinterpret_cast<std::uint64_t>(instruction);
    const std::uint64_t mixed = (text * 31 + static_cast<std::uint64_t>(site.line)) * 0x9e3779b97f4a7c15ULL;
    Entry& entry = entries_[mixed >> (64 - kBits)];
    if (entry.instruction != instruction || entry.site.file != site.file || entry.site.line != site.line) {
      entry = {instruction, site, table.Add(instruction, site)};
    }
    return entry.index;
  }

 private:
  struct Entry {
    const char* instruction = nullptr;
    Site site;
    std::uint32_t index = 0;
  };
  static constexpr int kBits = 8;

  std::array<Entry, 1 << kBits> entries_;
};

}  // namespace npufa_sim
