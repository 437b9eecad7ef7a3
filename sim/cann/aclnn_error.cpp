#include "aclnn_error.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "base/err_msg.h"
#include "torch/runtime.h"

namespace npufa_sim {

namespace {

std::string& Reports() {
  thread_local std::string reports;
  return reports;
}

std::string Print(const char* format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  std::vector<char> text(std::vsnprintf(nullptr, 0, format, arguments) + 1);
  std::vsnprintf(text.data(), text.size(), format, again);
  va_end(again);
  return text.data();
}

void AddReport(const std::string& code, const std::string& text) { Reports() += code + ": " + text + "\n"; }

}  // namespace

void ForgetReports() { Reports().clear(); }

aclnnStatus ReportApiError(aclnnStatus code, const char* api, const std::string& message) {
  const char* kind = code == kParamNullptr || code == kParamInvalid ? "EZ1001" : "EZ9999";
  SetRecentError(std::exchange(Reports(), {}) + kind + ": " + api + ": " + message);
  return code;
}

}  // namespace npufa_sim

namespace ge {

std::int32_t ReportInnerErrMsg(const char* file_name, const char* func, std::uint32_t line, const char* error_code,
                               const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = npufa_sim::Print(format, arguments);
  va_end(arguments);
  npufa_sim::AddReport(error_code, text + " [" + func + ", " + file_name + ":" + std::to_string(line) + "]");
  return 0;
}

std::int32_t ReportUserDefinedErrMsg(const char* error_code, const char* format, ...) {
  const bool legal = error_code != nullptr && std::strlen(error_code) == 6 && std::strncmp(error_code, "EU", 2) == 0 &&
                     std::strspn(error_code + 2, "0123456789") == 4;
  if (!legal) return -1;
  va_list arguments;
  va_start(arguments, format);
  npufa_sim::AddReport(error_code, npufa_sim::Print(format, arguments));
  va_end(arguments);
  return 0;
}

}  // namespace ge
