// Names of allocators' settings. From 2.13 on torch_npu registers some that CUDA's allocator has registered in a CUDA
// build of torch, and torch ends the process at a name that comes twice.
#include <torch/library.h>

#include <string>
#include <unordered_set>
#include <utility>

#include "torch_compat.h"

#if NPUFA_TORCH_AT_LEAST(13)
#include <c10/core/AllocatorConfig.h>
#endif

namespace npufa_sim {
namespace {

// Forgets the names, or adds those that were forgotten to what has been registered since.
void SetAllocatorSettingsAside([[maybe_unused]] bool aside) {
#if NPUFA_TORCH_AT_LEAST(13)
  static std::unordered_set<std::string> forgotten;
  auto& known = c10::CachingAllocator::AcceleratorAllocatorConfig::getMutableKeys();
  if (aside) forgotten = std::exchange(known, {});
  if (!aside) known.merge(forgotten);
#endif
}

}  // namespace
}  // namespace npufa_sim

TORCH_LIBRARY_FRAGMENT(npufa_sim, m) { m.def("set_allocator_settings_aside", &npufa_sim::SetAllocatorSettingsAside); }
