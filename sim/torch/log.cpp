// Logging of torch_npu, and the three functions of the "securec" C library that it calls.
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "acl/acl.h"

// Lowest level that is printed: 0 debug .. 3 error; nothing unless CANN's own variable asks for it.
static int LowestLevel() {
  const char* level = std::getenv("ASCEND_GLOBAL_LOG_LEVEL");
  return level == nullptr || *level == '\0' ? ACL_ERROR + 1 : std::atoi(level);
}

void aclAppLog(aclLogLevel logLevel, const char* func, const char* file, std::uint32_t line, const char* fmt, ...) {
  static const int lowest = LowestLevel();
  if (logLevel < lowest) return;
  std::fprintf(stderr, "[acl %d] %s:%u %s: ", logLevel, file, line, func);
  va_list arguments;
  va_start(arguments, fmt);
  std::vfprintf(stderr, fmt, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
}

extern "C" {

ACL_FUNC_VISIBILITY int strcpy_s(char* dest, std::size_t capacity, const char* source) {
  const std::size_t bytes = std::strlen(source) + 1;
  if (bytes > capacity) return ERANGE;
  std::memcpy(dest, source, bytes);
  return 0;
}

ACL_FUNC_VISIBILITY int vsnprintf_s(char* dest, std::size_t capacity, std::size_t count, const char* format,
                                    va_list arguments) {
  const std::size_t limit = count < capacity ? count + 1 : capacity;
  const int length = std::vsnprintf(dest, limit, format, arguments);
  return length < 0 || static_cast<std::size_t>(length) >= limit ? -1 : length;
}

ACL_FUNC_VISIBILITY int snprintf_s(char* dest, std::size_t capacity, std::size_t count, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf_s(dest, capacity, count, format, arguments);
  va_end(arguments);
  return length;
}

}  // extern "C"
