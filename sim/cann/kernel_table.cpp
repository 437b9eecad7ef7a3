#include "kernel_table.h"

#include <dlfcn.h>

#include <filesystem>
#include <map>
#include <mutex>

#include "aclnn_error.h"

namespace npufa_sim {

namespace {

std::filesystem::path KernelDirectory(const void* library) {
  Dl_info info;
  if (dladdr(library, &info) == 0) throw AclnnError(kFindKernelError, "the library of the entry point is unknown");
  const std::filesystem::path file = std::filesystem::weakly_canonical(info.dli_fname);
  return file.parent_path().parent_path().parent_path() / "kernels";
}

void* LoadProgram(const std::filesystem::path& file, const std::string& name) {
  void* program = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (program == nullptr) throw AclnnError(kFindKernelError, std::string("no kernel: ") + dlerror());
  void* entry = dlsym(program, name.c_str());
  if (entry == nullptr) throw AclnnError(kFindKernelError, file.string() + " has no kernel " + name);
  return entry;
}

}  // namespace

KernelPrograms LoadKernel(const void* library, const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, KernelPrograms> loaded;
  const std::filesystem::path stem = KernelDirectory(library) / name;
  const std::lock_guard lock(mutex);
  const auto found = loaded.find(stem);
  if (found != loaded.end()) return found->second;
  const KernelPrograms programs = {LoadProgram(stem.string() + ".aic.so", name),
                                   LoadProgram(stem.string() + ".aiv.so", name)};
  return loaded[stem] = programs;
}

}  // namespace npufa_sim
