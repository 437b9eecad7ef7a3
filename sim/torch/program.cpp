#include "program.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "acl/acl.h"
#include "ascendc/dtypes.h"
#include "ascendc/launch_syntax.h"
#include "chip/time_api.h"
#include "errors.h"
#include "runtime.h"

namespace npufa_sim {
namespace {

struct Program {
  void* vector = nullptr;  // handles of dlopen; null where no kernel needs it
  void* cube = nullptr;
  std::atomic<int> problems{0};
  std::atomic<bool> auto_sync{true};
};

Program& Running() {
  static Program program;
  return program;
}

void* Open(const char* path) {
  if (path == nullptr || *path == '\0') return nullptr;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  return library;
}

// "add<float, 64u>" of "void add<float, 64u>(float*)"
std::string ReadableName(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(symbol, nullptr, nullptr, &status),
                                                         &std::free);
  if (status != 0) return symbol;
  std::string name = text.get();
  int depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    depth += (name[i] == '<') - (name[i] == '>');
    if (depth == 0 && name[i] == '(') name.resize(i);
  }
  return name.rfind("void ", 0) == 0 ? name.substr(5) : name;
}

struct Prepared {
  Launch launch;
  std::vector<const void*> pointers;
};

Prepared Prepare(const ProgramLaunch& from) {
  Dl_info info;
  if (dladdr(from.kernel, &info) == 0 || info.dli_saddr != from.kernel || info.dli_sname == nullptr) {
    throw std::invalid_argument(
        "a kernel is not visible outside its file: it must not be static or in a namespace "
        "without a name");
  }
  Launch launch;
  launch.kernel = ReadableName(info.dli_sname);
  launch.block_dim = from.blocks;
  launch.call = from.call;
  const Program& program = Running();
  if (program.vector != nullptr) launch.vector_entry = dlsym(program.vector, info.dli_sname);
  if (program.cube != nullptr) launch.cube_entry = dlsym(program.cube, info.dli_sname);
  return {std::move(launch), from.pointers};
}

// The memory at the time of execution, which a captured graph puts off.
std::vector<GmRegion> RegionsFor(const std::vector<const void*>& pointers) {
  std::vector<GmRegion> regions = DeviceRegions();
  for (GmRegion& region : regions) {
    const auto* begin = static_cast<const char*>(region.data);
    for (std::size_t i = 0; i < pointers.size(); ++i) {
      const auto* pointer = static_cast<const char*>(pointers[i]);
      if (pointer >= begin && pointer < begin + region.bytes) region.name = "argument " + std::to_string(i);
    }
  }
  return regions;
}

void Print(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

int Execute(const Prepared& prepared) {
  Launch launch = prepared.launch;
  launch.regions = RegionsFor(prepared.pointers);
  LaunchOptions options = CurrentOptions();
  options.auto_sync = Running().auto_sync;
  LaunchResult result = Run(CurrentChip(), launch, options);
  MarkWritten(result.used);
  if (!result.findings.empty()) Print(FormatFindings(launch.kernel, result.findings));
  for (const KernelFinding& finding : result.findings) Running().problems += finding.note ? 0 : 1;
  const bool completed = result.completed;
  KeepLaunch(CurrentChip(), launch.kernel, std::move(result));
  if (completed) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_AICORE_EXCEPTION, launch.kernel.c_str(), "the kernel did not come to its end");
}

}  // namespace

void LaunchFromProgram(ProgramLaunch from) {
  try {
    auto prepared = std::make_shared<const Prepared>(Prepare(from));
    SubmitToStream(from.stream, [prepared] {
      try {
        return Execute(*prepared);
      } catch (const std::exception& error) {
        ++Running().problems;
        Print(error.what());
        return Fail(ACL_ERROR_INVALID_PARAM, prepared->launch.kernel.c_str(), error.what());
      }
    });
  } catch (const std::exception& error) {
    ++Running().problems;
    Print(error.what());
  }
}

}  // namespace npufa_sim

using namespace npufa_sim;

float aclFloat16ToFloat(aclFloat16 value) { return HalfToFloat(value); }

aclFloat16 aclFloatToFloat16(float value) { return FloatToHalf(value); }

int npufa_sim_run_program(const char* vector_path, const char* cube_path, int count, char** arguments) {
  try {
    Program& program = Running();
    program.vector = Open(vector_path);
    program.cube = Open(cube_path);
    auto* entry = reinterpret_cast<int (*)(int, char**)>(dlsym(program.vector ? program.vector : program.cube, "main"));
    if (entry == nullptr) throw std::runtime_error("the program has no main()");
    const int status = entry(count, arguments);
    std::fflush(nullptr);
    return status;
  } catch (const std::exception& error) {
    return Fail(-1, "program", error.what());
  }
}

int npufa_sim_program_problems() { return Running().problems; }

void npufa_sim_set_auto_sync(int enabled) { Running().auto_sync = enabled != 0; }
