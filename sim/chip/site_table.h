// Statements of a kernel, numbered once per launch.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "record.h"

namespace npufa_sim {

class SiteTable {
 public:
  std::uint32_t Add(const char* instruction, Site site) {
    std::lock_guard lock(mutex_);
    const auto [found, is_new] =
        index_.emplace(std::make_tuple(std::string(instruction), std::string(site.file), site.line), sites_.size());
    if (is_new) sites_.push_back({instruction, site.file, site.line});
    return found->second;
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
  std::map<std::tuple<std::string, std::string, int>, std::uint32_t> index_;
  std::deque<TraceSite> sites_;
};

}  // namespace npufa_sim
