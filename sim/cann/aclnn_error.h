// Status codes of aclnn functions and the text that goes with them.
#pragma once

#include <stdexcept>
#include <string>

#include "aclnn/acl_meta.h"

namespace npufa_sim {

inline constexpr aclnnStatus kParamNullptr = 161001;
inline constexpr aclnnStatus kParamInvalid = 161002;
inline constexpr aclnnStatus kRuntimeError = 361001;
inline constexpr aclnnStatus kInnerError = 561000;
inline constexpr aclnnStatus kInferShapeError = 561001;
inline constexpr aclnnStatus kTilingError = 561002;
inline constexpr aclnnStatus kFindKernelError = 561003;

class AclnnError : public std::runtime_error {
 public:
  AclnnError(aclnnStatus code, const std::string& message) : std::runtime_error(message), code_(code) {}
  aclnnStatus Code() const { return code_; }

 private:
  aclnnStatus code_;
};

// Makes "EZ1001: <api>: <message>" (EZ9999 for errors that are not the caller's) what aclGetRecentErrMsg() returns,
// after what host functions reported since ForgetReports(). Returns the code.
aclnnStatus ReportApiError(aclnnStatus code, const char* api, const std::string& message);
void ForgetReports();

}  // namespace npufa_sim
