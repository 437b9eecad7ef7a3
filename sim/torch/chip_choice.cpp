// Which chip the devices are and how kernels run on it: set from Python, read by everything else.
#include <atomic>
#include <mutex>

#include "acl/acl.h"
#include "chip/time_api.h"
#include "errors.h"
#include "runtime.h"

namespace npufa_sim {

namespace {

struct Choice {
  std::atomic<const ChipDescription*> chip{FindChip("Ascend910B3")};
  std::mutex mutex;
  LaunchOptions options;
};

Choice& Chosen() {
  static Choice choice;
  return choice;
}

std::string JoinedChipNames() {
  std::string names;
  for (const std::string& name : ChipNames()) names += (names.empty() ? "" : ",") + name;
  return names;
}

}  // namespace

const ChipDescription& CurrentChip() { return *Chosen().chip; }

LaunchOptions CurrentOptions() {
  const std::lock_guard<std::mutex> lock(Chosen().mutex);
  LaunchOptions options = Chosen().options;
  options.trace = Profiling();
  return options;
}

void SetOptions(const LaunchOptions& options) {
  const std::lock_guard<std::mutex> lock(Chosen().mutex);
  Chosen().options = options;
}

}  // namespace npufa_sim

using namespace npufa_sim;

int npufa_sim_select_chip(const char* name) {
  const ChipDescription* chip = FindChip(name);
  if (chip == nullptr) {
    return Fail(ACL_ERROR_INVALID_PARAM, __func__,
                "no chip is called " + std::string(name) + "; expected one of " + JoinedChipNames());
  }
  Chosen().chip = chip;
  return ACL_SUCCESS;
}

void npufa_sim_set_checks(int enabled) {
  LaunchOptions options = CurrentOptions();
  options.check = enabled != 0;
  SetOptions(options);
}

const char* aclrtGetSocName() { return CurrentChip().name.c_str(); }
