// What would end the process while a kernel's scalar code runs on the host becomes a finding of the kernel: division by
// zero, access through a bad pointer, a stack that is full, a loop without an end.
#pragma once

#include <cstdint>
#include <string>

#include "core.h"
#include "fiber.h"

namespace npufa_sim {

// Signals of the calling thread go to the core that runs on it from here on.
class HostFaultScope {
 public:
  HostFaultScope();
  ~HostFaultScope();
  HostFaultScope(const HostFaultScope&) = delete;
  HostFaultScope& operator=(const HostFaultScope&) = delete;

 private:
  void* stack_ = nullptr;  // for handlers; null where the thread had one
  void* timer_ = nullptr;
};

// Runs a core's program until it yields or ends, and reports what faults it had.
void ResumeCore(Core& core, Fiber& fiber);
// The fiber whose program runs on this thread; null between programs.
Fiber* RunningFiber();
// file:line of the innermost statement at an address of code that is not the simulator's own; empty when unknown.
std::string SourceOf(std::uintptr_t code);

}  // namespace npufa_sim
