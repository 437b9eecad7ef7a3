// The programs of a kernel, loaded from the kernel directory that belongs to a library of operators.
#pragma once

#include <string>

namespace npufa_sim {

struct KernelPrograms {
  void* cube = nullptr;
  void* vector = nullptr;
};

// `library`: an address within the library of entry points, <root>/op_api/lib/libcust_opapi.so; programs are
// <root>/kernels/<name>.aic.so and <name>.aiv.so. Throws AclnnError when one is missing.
KernelPrograms LoadKernel(const void* library, const std::string& name);

}  // namespace npufa_sim
