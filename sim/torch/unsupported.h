// Functions of CANN that the simulator does not have.
#pragma once

namespace npufa_sim {

// Tells it once per function on stderr and in aclGetRecentErrMsg(); returns ACL_ERROR_API_NOT_SUPPORT.
int Unsupported(const char* function);

// Throws std::runtime_error with the demangled name.
[[noreturn]] void ThrowUnsupported(const char* mangled);

}  // namespace npufa_sim
