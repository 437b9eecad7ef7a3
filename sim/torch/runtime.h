// What the ACL runtime offers to the rest of the simulator: tasks on streams, the chip in use, error texts.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "../chip/launch.h"

namespace npufa_sim {

// Executes the task at once, one at a time over all threads, and returns its aclError; while the stream is being
// captured the task is only kept for the graph. nullptr is the default stream.
int SubmitToStream(void* stream, std::function<int()> task);

// Text that this thread's next aclGetRecentErrMsg() returns.
void SetRecentError(std::string message);

// The chip that every device is, Ascend910B3 unless chosen otherwise.
const ChipDescription& CurrentChip();

// Cores of the device that this process has: all of the chip's, or as many as aclrtSetDeviceResLimit left it.
struct CoreCounts {
  std::uint32_t cube, vector;
};
CoreCounts AvailableCores();

// How kernels run on the chip; traced while somebody profiles.
LaunchOptions CurrentOptions();
void SetOptions(const LaunchOptions& options);

// True when [address, address + bytes) lies within one allocation of device memory.
bool IsDeviceMemory(const void* address, std::uint64_t bytes);
// Every allocation, for kernels that reach memory through pointers in memory. One counts as written once the host or a
// kernel has used it.
std::vector<GmRegion> DeviceRegions();
void MarkWritten(const std::vector<void*>& allocations);

}  // namespace npufa_sim

extern "C" {

// For the Python side. Returns 0, or an aclError with its text in aclGetRecentErrMsg().
int npufa_sim_select_chip(const char* name);
void npufa_sim_set_checks(int enabled);

}  // extern "C"
