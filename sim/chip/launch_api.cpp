// C entry points to launch one kernel from two shared libraries (cube and vector program), for Python.
#include <dlfcn.h>

#include <stdexcept>
#include <string>

#include "finding_json.h"
#include "json.h"
#include "launch.h"
#include "time_api.h"

namespace npufa_sim {
namespace {

void* Load(const char* path, const char* kernel) {
  if (!path || !*path) return nullptr;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(dlerror());
  void* entry = dlsym(library, kernel);
  if (!entry) throw std::runtime_error(std::string(path) + " has no kernel " + kernel);
  return entry;
}

std::string ToJson(const LaunchResult& result, const std::string& kernel) {
  JsonList findings('[', ']');
  for (const KernelFinding& finding : result.findings) findings.Add(FindingJson(kernel, finding));
  return JsonList('{', '}')
      .Member("completed", result.completed ? "true" : "false")
      .Member("text", JsonString(result.findings.empty() ? "" : FormatFindings(kernel, result.findings)))
      .Member("findings", findings.Text())
      .Text();
}

}  // namespace
}  // namespace npufa_sim

extern "C" {

struct npufa_sim_argument {
  const char* name;
  void* data;  // null for an absent optional tensor
  std::uint64_t bytes;
  int writable, written;
  int value;  // the bytes at `data` are the argument
};

// JSON: completed, findings, text; or {"error": ...}. The string lives until the next call on this thread.
// `entry`: 0, or one more than the number of the function that takes an array of addresses of the arguments.
const char* npufa_sim_launch(const char* soc, const char* kernel, const char* cube_path, const char* vector_path,
                             std::uint32_t block_dim, std::uint64_t tiling_key, const npufa_sim_argument* arguments,
                             int count, int entry, int check, int auto_sync, int threads, std::uint64_t shuffle,
                             int together) {
  using namespace npufa_sim;
  static thread_local std::string reply;
  try {
    const ChipDescription* chip = FindChip(soc);
    if (!chip) throw std::invalid_argument(std::string("no chip named ") + soc);
    Launch launch;
    launch.kernel = kernel;
    const std::string symbol = entry > 0 ? "npufa_kernel_entry_" + std::to_string(entry - 1) : launch.kernel;
    launch.cube_entry = Load(cube_path, symbol.c_str());
    launch.vector_entry = Load(vector_path, symbol.c_str());
    launch.block_dim = block_dim;
    launch.tiling_key = tiling_key;
    launch.starts_together = together != 0;
    for (int i = 0; i < count; ++i) {
      launch.arguments.push_back(arguments[i].data);
      if (!arguments[i].data || arguments[i].value) continue;
      launch.regions.push_back({arguments[i].name, arguments[i].data, arguments[i].bytes, arguments[i].writable != 0,
                                arguments[i].written != 0});
    }
    std::vector<void*> values;
    for (int i = 0; i < count; ++i) {
      values.push_back(arguments[i].value ? arguments[i].data : static_cast<void*>(&launch.arguments[i]));
    }
    if (entry > 0) {
      launch.call = [&values](void* f) { reinterpret_cast<void (*)(void* const*)>(f)(values.data()); };
    }
    LaunchOptions options;
    options.check = check != 0;
    options.trace = Profiling();
    options.auto_sync = auto_sync != 0;
    options.threads = threads;
    options.shuffle = shuffle;
    LaunchResult result = Run(*chip, launch, options);
    reply = ToJson(result, launch.kernel);
    KeepLaunch(*chip, launch.kernel, std::move(result));
  } catch (const std::exception& error) {
    reply = "{\"error\":" + JsonString(error.what()) + "}";
  }
  return reply.c_str();
}

}  // extern "C"
