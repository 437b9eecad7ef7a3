// Collects what the checks find: one entry per statement and kind, counted.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "launch.h"

namespace npufa_sim {

class FindingStore {
 public:
  void Add(KernelFinding finding);
  std::vector<KernelFinding> Take();

 private:
  std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, int, std::string, std::string>, std::size_t> index_;
  std::vector<KernelFinding> findings_;
};

}  // namespace npufa_sim
