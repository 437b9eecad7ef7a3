#include "unsupported.h"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>

#include "errors.h"

namespace npufa_sim {

namespace {

constexpr const char kWhy[] = "is not part of the simulated CANN";

void TellOnce(const std::string& function) {
  static std::mutex mutex;
  static std::set<std::string> told;
  const std::lock_guard<std::mutex> lock(mutex);
  if (told.insert(function).second) std::fprintf(stderr, "npufa.sim: %s %s\n", function.c_str(), kWhy);
}

std::string Demangled(const char* mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  const std::string result = status == 0 ? text : mangled;
  std::free(text);
  return result;
}

}  // namespace

int Unsupported(const char* function) {
  TellOnce(function);
  return Fail(ACL_ERROR_API_NOT_SUPPORT, function, kWhy);
}

void ThrowUnsupported(const char* mangled) {
  const std::string function = Demangled(mangled);
  TellOnce(function);
  throw std::runtime_error(function + " " + kWhy);
}

}  // namespace npufa_sim
