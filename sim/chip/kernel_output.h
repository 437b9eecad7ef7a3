// Printing from kernels. Outside of a kernel text goes out as it is.
#pragma once

#include <cstdint>
#include <string>

#include "types.h"

namespace npufa_sim {

// A place in the code, for functions that cannot take a Site.
[[gnu::always_inline]] inline std::uintptr_t CodeAddress() {
  std::uintptr_t address;
#if defined(__x86_64__)
  asm volatile("leaq (%%rip), %0" : "=r"(address));
#else
  asm volatile("adr %0, ." : "=r"(address));
#endif
  return address;
}

// "[group 0 vector 1 add.asc:12] " stands before every line.
void PrintFromKernel(const std::string& text, Site site);
void PrintFromKernel(const std::string& text, std::uintptr_t code);
// Host memory behind a tensor of `bytes` bytes; null, with a finding, where it is too short.
const std::uint8_t* ReadableBytes(const TensorRef& tensor, std::uint64_t bytes, Site site);
[[noreturn]] void FailAssertion(const char* expression, const std::string& message, Site site);

}  // namespace npufa_sim
