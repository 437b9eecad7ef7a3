// A prepared call: everything that the second phase needs to launch the kernel, once or many times.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "acl_objects.h"
#include "kernel_table.h"
#include "op_call.h"

namespace npufa_sim {

struct OpExecutor : aclOpExecutor {
  std::string kernel;
  KernelPrograms programs;
  std::vector<CallParam> inputs, outputs;
  bool empty = false;                 // every output has no elements: nothing runs
  std::uint64_t workspace_bytes = 0;  // of the kernel
  std::uint64_t tiling_key = 0;
  std::uint32_t block_dim = 0;
  std::uint32_t schedule_mode = 0;
  std::vector<unsigned char> tiling_data;

  // The kernel's, then that of copies of non-contiguous tensors.
  std::uint64_t AllWorkspaceBytes() const;

  // On the calling thread. Returns an aclError, with its text in aclGetRecentErrMsg().
  int LaunchKernel(const std::string& api, void* workspace, std::uint64_t workspace_size) const;
};

}  // namespace npufa_sim
