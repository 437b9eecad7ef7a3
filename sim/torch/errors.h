// Every failing ACL function leaves a text for aclGetRecentErrMsg().
#pragma once

#include <string>

#include "acl/acl_base.h"

namespace npufa_sim {

// Keeps the text "<function>: <message>" and returns the code.
aclError Fail(aclError code, const char* function, const std::string& message);

// Fails when the pointer of an output or of an object is null.
#define NPUFA_SIM_REQUIRE_POINTER(pointer) \
  if ((pointer) == nullptr) return ::npufa_sim::Fail(ACL_ERROR_INVALID_PARAM, __func__, #pointer " is null")

}  // namespace npufa_sim
