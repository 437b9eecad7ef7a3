#include "core_group.h"

#include <mutex>
#include <utility>
#include <vector>

namespace npufa_sim {
namespace {

// Never destroyed: launches may end later than static objects do.
struct Pool {
  std::mutex mutex;
  std::vector<std::unique_ptr<CoreGroup>> groups;

  static Pool& Get() {
    static auto* pool = new Pool;
    return *pool;
  }
};

}  // namespace

std::unique_ptr<CoreGroup> CoreGroup::Take(const ChipDescription& chip) {
  std::unique_ptr<CoreGroup> group;
  {
    std::lock_guard lock(Pool::Get().mutex);
    if (auto& groups = Pool::Get().groups; !groups.empty()) {
      group = std::move(groups.back());
      groups.pop_back();
    }
  }
  if (!group) group = std::make_unique<CoreGroup>();
  for (int i = 0; i < kGroupCores; ++i) {
    group->runners[i].core.Configure(chip, i == 0 ? CoreKind::kCube : CoreKind::kVector);
  }
  return group;
}

void CoreGroup::Give(std::unique_ptr<CoreGroup> group) {
  std::lock_guard lock(Pool::Get().mutex);
  Pool::Get().groups.push_back(std::move(group));
}

}  // namespace npufa_sim
