#include "kernel_output.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "core.h"
#include "host_faults.h"
#include "instruction.h"
#include "machine.h"

namespace npufa_sim {
namespace {

void Print(const std::string& text, const std::string& place) {
  static std::mutex mutex;
  const std::string before = "[" + Current().Name() + " " + place + "] ";
  std::string lines = before;
  for (std::size_t i = 0; i < text.size(); ++i) {
    lines += text[i];
    if (text[i] == '\n' && i + 1 < text.size()) lines += before;
  }
  const std::lock_guard lock(mutex);
  std::fputs(lines.c_str(), stdout);
}

std::string Short(const std::string& file) { return std::filesystem::path(file).filename().string(); }

}  // namespace

void PrintFromKernel(const std::string& text, Site site) {
  if (RunningFiber() == nullptr) {
    std::fputs(text.c_str(), stdout);
    return;
  }
  EndProbe();
  Print(text, Short(site.file) + ":" + std::to_string(site.line));
}

void PrintFromKernel(const std::string& text, std::uintptr_t code) {
  if (RunningFiber() == nullptr) {
    std::fputs(text.c_str(), stdout);
    return;
  }
  EndProbe();
  Print(text, Short(SourceOf(code)));
}

const std::uint8_t* ReadableBytes(const TensorRef& tensor, std::uint64_t bytes, Site site) {
  EndProbe();
  Core& core = Current();
  const std::uint64_t end = tensor.address + bytes;
  const GmRegionState* region = tensor.space == Space::kGM ? core.state().memory.Find(tensor.address) : nullptr;
  const bool fits =
      tensor.space == Space::kGM ? region != nullptr && end <= region->end() : end <= core.memory(tensor.space).bytes();
  if (fits) return core.HostAddress(tensor);
  KernelFinding finding = core.NewFinding("out-of-bounds", site, "DumpTensor");
  finding.space = NameOf(tensor.space);
  finding.message = std::to_string(bytes) + " bytes from " + std::to_string(tensor.address) + " on leave the memory";
  finding.advice = "dump fewer elements";
  core.Note(std::move(finding));
  return nullptr;
}

void FailAssertion(const char* expression, const std::string& message, Site site) {
  const std::string text = std::string("assertion failed: ") + expression + (message.empty() ? "" : ": " + message);
  if (RunningFiber() == nullptr) {
    std::fprintf(stderr, "%s:%d: %s\n", site.file, site.line, text.c_str());
    std::abort();
  }
  EndProbe();
  Fault("assert", site, "assert", text.c_str(), "the kernel ends where an assertion of its own does not hold");
}

}  // namespace npufa_sim
