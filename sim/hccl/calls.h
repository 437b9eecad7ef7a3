// How HCCL's functions report errors and get onto streams.
#pragma once

#include <functional>
#include <memory>

#include "acl/acl_rt.h"
#include "communicator.h"

namespace npufa_sim::hccl {

// The result of body(): what it raises is kept for aclGetRecentErrMsg() and printed, since torch_npu shows the code only.
HcclResult Checked(const char* function, const std::function<void()>& body);

// Does the work as a task of the stream: at once, or whenever a captured graph is replayed.
HcclResult OnStream(const char* function, HcclComm comm, aclrtStream stream, std::function<void(Communicator&)> work);

// Raises unless the bytes lie in device memory.
void RequireMemory(const char* argument, const void* data, std::uint64_t bytes);

}  // namespace npufa_sim::hccl
