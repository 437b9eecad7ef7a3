// Running one kernel on the modelled chip.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "description.h"
#include "patience.h"
#include "record.h"
#include "shuffle.h"

namespace npufa_sim {

// GM a kernel may touch. Everything else is out of bounds.
struct GmRegion {
  std::string name;
  void* data = nullptr;
  std::uint64_t bytes = 0;
  bool writable = false;
  bool written = true;  // contents are defined at launch (inputs, in-place outputs)
};

// How a kernel's cores are used, as KERNEL_TASK_TYPE declares.
enum class TaskType : int { kUndeclared = -1, kAivOnly = 0, kAicOnly = 1, kMix1To1 = 2, kMix1To2 = 3 };

struct LaunchOptions {
  bool check = true;
  bool trace = false;      // keep what the time model needs
  bool auto_sync = false;  // vector cores: what the compiler's --cce-auto-sync=on orders is in order
  std::uint32_t patience = Patience();
  int threads = 0;  // host threads; 0: as many as the host has
  // Not 0: flags and cores take their turns as this seed decides, and control registers hold what an earlier kernel
  // may have left.
  std::uint64_t shuffle = ShuffleSeed();
};

struct Launch {
  std::string kernel;
  void* cube_entry = nullptr;    // function of the program compiled for the cube core
  void* vector_entry = nullptr;  // likewise for vector cores
  std::uint32_t block_dim = 1;
  std::uint64_t tiling_key = 0;
  bool starts_together = true;   // no block waits for another to end: waits for all cores need it
  std::vector<void*> arguments;  // GM addresses in the order of the kernel's parameters
  std::function<void(void* entry)>
      call;  // instead of `arguments`: calls an entry with values of the kernel's own types
  std::vector<GmRegion> regions;
};

struct KernelFinding {
  std::string check;        // stable id: out-of-bounds, misaligned, race, unwritten, flag-left-set, deadlock, ...
  std::string instruction;  // Add, DataCopy, ...
  std::string operand;      // dst, src ...; empty where it does not apply
  std::string space;
  std::string core;  // "group 3 vector 1"
  std::string file;
  int line = 0;
  std::string message;      // what happened, with addresses and sizes
  std::string advice;       // what to do
  std::uint64_t count = 1;  // times the same statement did the same
  bool note = false;        // worth knowing, no mistake
};

struct LaunchResult {
  bool completed = false;  // every core reached its end
  std::vector<KernelFinding> findings;
  Trace trace;
  bool Ok() const {
    return completed && std::all_of(findings.begin(), findings.end(), [](const auto& f) { return f.note; });
  }
  std::vector<void*> used;  // start of each writable region that instructions touched
};

// Throws std::invalid_argument for a launch that no chip of this description accepts.
LaunchResult Run(const ChipDescription& chip, const Launch& launch, const LaunchOptions& options);

std::string FormatFindings(const std::string& kernel, const std::vector<KernelFinding>& findings);

}  // namespace npufa_sim
