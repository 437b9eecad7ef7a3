// A captured graph (aclmdlRI): the steps that streams were given while they were being captured.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "acl/acl_rt.h"

namespace npufa_sim {

// A piece of a stream's work: returns its aclError once it is done, nothing while it waits for another stream.
using Step = std::function<std::optional<int>()>;
// A step that never waits.
using Task = std::function<int()>;

// Tasks of a graph that can be replaced after the capture.
struct TaskGroup {
  std::vector<Task> tasks;
};

// What a stream is given between aclmdlRICaptureTaskUpdateBegin and End.
struct TaskGroupUpdate {
  std::shared_ptr<TaskGroup> group;
  std::vector<Task> tasks;
};

struct Graph {
  std::uint32_t id = 0;
  bool capturing = true;
  // Set by a call that has no meaning in a graph; aclmdlRICaptureEnd then fails.
  bool invalidated = false;
  aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;  // that began the capture
  // In the order of submission, which respects every dependency between the streams.
  std::vector<Step> steps;
  std::vector<std::shared_ptr<TaskGroup>> groups;
};

// A group of a graph whose capture has ended; nullptr otherwise.
std::shared_ptr<TaskGroup> FindTaskGroup(aclrtTaskGrp handle);

}  // namespace npufa_sim
