// Entry points of npufa's operator package for CANN.
#pragma once

#include <string>

namespace npufa::npu {

// Both phases of an aclnn function.
struct EntryPoint {
  void* first;   // <name>GetWorkspaceSize
  void* second;  // <name>
};

// Looks where torch_npu looks, once per name. Raises "npufa::<op>: ..." when there is no such function, with every
// place and what is wrong with it, and when the package that has it is of another version than this library.
EntryPoint FindEntryPoint(const std::string& op, const std::string& name);

// The function in the operator packages and in CANN's own library, in torch_npu's order; nullptr when it is in none.
void* FindInPackages(const char* function);

}  // namespace npufa::npu
