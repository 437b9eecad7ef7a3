#include "npu/operator_package.h"

#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "npu/torch_npu_api.h"

namespace npufa::npu {

namespace {

constexpr const char kVersion[] = "npufa operator package " NPUFA_PACKAGE_VERSION;
constexpr const char kAdvice[] = "\n`python -m npufa doctor` shows what is installed";

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

// The variable's value, empty when it is not set.
std::string Environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

// Packages in torch_npu's order: ASCEND_CUSTOM_OPP_PATH, then ASCEND_OPP_PATH/vendors as its config.ini orders them.
std::vector<std::string> PackageFolders() {
  std::vector<std::string> folders = Split(Environment("ASCEND_CUSTOM_OPP_PATH"), ':');
  const std::string vendors = Environment("ASCEND_OPP_PATH") + "/vendors/";
  constexpr std::string_view kPriority = "load_priority=";
  std::ifstream config(vendors + "config.ini");
  for (std::string line; std::getline(config, line);) {
    if (line.compare(0, kPriority.size(), kPriority) != 0) continue;
    for (const std::string& vendor : Split(line.substr(kPriority.size()), ',')) folders.push_back(vendors + vendor);
    break;
  }
  return folders;
}

std::string LibraryIn(const std::string& folder) { return folder + "/op_api/lib/libcust_opapi.so"; }

// Why torch_npu does not find `function` in the library of a package.
std::string WhyNot(const std::string& library, const std::string& function) {
  struct stat file;
  if (stat(library.c_str(), &file) != 0) return "no such file";
  void* handle = dlopen(library.c_str(), RTLD_LAZY);
  if (handle == nullptr) return std::string("cannot be loaded: ") + dlerror();
  if (dlsym(handle, function.c_str()) == nullptr) return "has no " + function;
  if (file.st_uid != getuid() && file.st_uid != 0) {
    return "torch_npu ignores it, because neither this user nor root owns it";
  }
  return "has it; the environment variable was set after torch_npu was imported";
}

[[noreturn]] void RaiseNotFound(const std::string& op, const std::string& name, const std::string& function) {
  std::ostringstream message;
  message << "npufa::" << op << ": " << name
          << " not found; install npufa's operator package for CANN, and set ASCEND_CUSTOM_OPP_PATH to it if it is not "
             "in ASCEND_OPP_PATH/vendors";
  const std::vector<std::string> folders = PackageFolders();
  if (folders.empty()) {
    message << "\nneither ASCEND_CUSTOM_OPP_PATH nor ASCEND_OPP_PATH/vendors/config.ini names a package";
  }
  for (const std::string& folder : folders) {
    const std::string library = LibraryIn(folder);
    message << "\n" << library << ": " << WhyNot(library, function);
  }
  message << kAdvice;
  TORCH_CHECK(false, message.str());
}

std::string LibraryOf(void* function) {
  Dl_info info;
  return dladdr(function, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

// The text that the library says it is; empty without one.
std::string VersionOf(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  const void* text = handle == nullptr ? nullptr : dlsym(handle, "npufa_operator_package");
  return text == nullptr ? "" : static_cast<const char*>(text);
}

void CheckPackage(const std::string& op, const std::string& name, const EntryPoint& entry) {
  const std::string library = LibraryOf(entry.first);
  const std::string other = LibraryOf(entry.second);
  TORCH_CHECK(library == other, "npufa::", op, ": ", name, " is divided between two operator packages: ", library,
              " has ", name, "GetWorkspaceSize and ", other, " has ", name, "; remove the incomplete package", kAdvice);
  const std::string version = VersionOf(library);
  TORCH_CHECK(version == kVersion, "npufa::", op, ": the operator package ", library, " is of another version, got ",
              version.empty() ? "a package without version" : "\"" + version + "\"", "; expected \"", kVersion,
              "\", for which the Python package is made: build both from the same sources", kAdvice);
}

EntryPoint Find(const std::string& op, const std::string& name) {
  const TorchNpu& torch_npu = TorchNpu::Get();
  const std::string first = name + "GetWorkspaceSize";
  const EntryPoint entry{torch_npu.AclnnFunction(first.c_str()), torch_npu.AclnnFunction(name.c_str())};
  if (entry.first == nullptr || entry.second == nullptr) {
    RaiseNotFound(op, name, entry.first == nullptr ? first : name);
  }
  CheckPackage(op, name, entry);
  return entry;
}

void* FindIn(const char* library, const char* function) {
  void* handle = dlopen(library, RTLD_LAZY);
  return handle == nullptr ? nullptr : dlsym(handle, function);
}

}  // namespace

void* FindInPackages(const char* function) {
  for (const std::string& folder : PackageFolders()) {
    if (void* found = FindIn(LibraryIn(folder).c_str(), function)) return found;
  }
  return FindIn("libopapi.so", function);
}

EntryPoint FindEntryPoint(const std::string& op, const std::string& name) {
  static std::mutex mutex;
  static std::unordered_map<std::string, EntryPoint> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  return known.emplace(name, Find(op, name)).first->second;
}

}  // namespace npufa::npu
