// Error texts for the caller of an operator; they come out of aclGetRecentErrMsg().
#pragma once

#include <cstdint>

#include "graph/types.h"

namespace ge {

// Weak, as in the toolkit: host libraries may be loaded by processes without the error manager.
__attribute__((weak, format(printf, 5, 6))) std::int32_t ReportInnerErrMsg(const char* file_name, const char* func,
                                                                           std::uint32_t line, const char* error_code,
                                                                           const char* format, ...);

// User-defined codes are EU0000 to EU9999. Returns 0, or -1 for another code.
__attribute__((weak, format(printf, 2, 3))) std::int32_t ReportUserDefinedErrMsg(const char* error_code,
                                                                                 const char* format, ...);

}  // namespace ge

#define REPORT_INNER_ERR_MSG(error_code, format, ...) \
  (void)ge::ReportInnerErrMsg(__FILE__, __FUNCTION__, __LINE__, (error_code), (format), ##__VA_ARGS__)
