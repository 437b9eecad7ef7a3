// A captured graph (aclmdlRI): the tasks that streams were given while they were being captured.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "acl/acl_rt.h"

namespace npufa_sim {

struct Graph {
  std::uint32_t id = 0;
  bool capturing = true;
  // Set by a call that has no meaning in a graph; aclmdlRICaptureEnd then fails.
  bool invalidated = false;
  aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
  // In the order of submission, which respects every dependency between the streams.
  std::vector<std::function<int()>> tasks;
};

}  // namespace npufa_sim
