#include "errors.h"

#include <utility>

#include "acl/acl.h"
#include "runtime.h"

namespace npufa_sim {

namespace {

struct LastError {
  aclError code = ACL_SUCCESS;
  std::string message;   // not read yet
  std::string returned;  // backs the pointer that aclGetRecentErrMsg() gave out
};

LastError& Last() {
  thread_local LastError last;
  return last;
}

}  // namespace

void SetRecentError(std::string message) { Last().message = std::move(message); }

aclError Fail(aclError code, const char* function, const std::string& message) {
  Last().code = code;
  SetRecentError(std::string(function) + ": " + message);
  return code;
}

}  // namespace npufa_sim

using npufa_sim::Last;

const char* aclGetRecentErrMsg() {
  Last().returned = std::exchange(Last().message, {});
  return Last().returned.c_str();
}

aclError aclrtGetLastError(aclrtLastErrLevel) { return std::exchange(Last().code, ACL_SUCCESS); }

aclError aclrtPeekAtLastError(aclrtLastErrLevel) { return Last().code; }
