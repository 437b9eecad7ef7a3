// Schedules the cores of a launch on host threads.
#pragma once

#include "launch.h"

namespace npufa_sim {

// A kernel declares its task type from inside its body: the launch first runs it until it does, or until it touches data.
struct TaskDeclaration {
  TaskType type = TaskType::kUndeclared;
  bool scheduler = true;
};
void ProbedTaskType(std::uint64_t tiling_key, bool any_key, TaskDeclaration task);
// `works`: what the program does next is work of its kind of core, not of the scalar unit alone.
void EndProbe(bool works = false);

}  // namespace npufa_sim
