// Bounded memory functions that host sources may call.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstring>

typedef int errno_t;

#ifndef EOK
#define EOK 0
#endif

inline errno_t memcpy_s(void* dest, std::size_t destMax, const void* src, std::size_t count) {
  if (dest == nullptr || src == nullptr) return EINVAL;
  if (count > destMax) return ERANGE;
  std::memcpy(dest, src, count);
  return EOK;
}

inline errno_t memset_s(void* dest, std::size_t destMax, int c, std::size_t count) {
  if (dest == nullptr) return EINVAL;
  if (count > destMax) return ERANGE;
  std::memset(dest, c, count);
  return EOK;
}
