// One AI Core while it executes a kernel: memories, clocks, flags, and the record of what it did.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "clock.h"
#include "core_api.h"
#include "cross_core.h"
#include "findings.h"
#include "gm_flags.h"
#include "global_memory.h"
#include "instruction.h"
#include "local_memory.h"
#include "shuffle.h"
#include "site_table.h"

namespace npufa_sim {

inline constexpr int kEventIds = 8;

// What the cores of one launch share.
struct LaunchState {
  LaunchState(const ChipDescription& chip_, const Launch& launch_, const LaunchOptions& options_, TaskType type_,
              int groups_)
      : chip(chip_), launch(launch_), options(options_), type(type_), groups(groups_), memory(launch_.regions),
        cross(groups_, groups_ * kGroupCores), gm_flags(groups_) {}

  const ChipDescription& chip;
  const Launch& launch;
  const LaunchOptions& options;
  const TaskType type;
  const int groups;
  bool scheduler = true;  // flags between cores work
  GlobalMemory memory;
  CrossCoreFlags cross;
  GmFlags gm_flags;
  FindingStore findings;
  SiteTable sites;
  std::atomic<bool> failed{false};  // some core faulted; the others stop at their next wait

  int VectorsPerGroup() const { return type == TaskType::kMix1To1 ? 1 : type == TaskType::kAicOnly ? 0 : 2; }
  bool HasCube() const { return type != TaskType::kAivOnly; }
};

// "group 3 vector 1"
std::string CoreName(int id);

class Core {
 public:
  void Configure(const ChipDescription& chip, CoreKind kind);
  void Start(LaunchState* state, int group, int index_in_group);

  // Data instructions.
  void Execute(Instruction& ins, const Cost& cost);
  void CopyWritten(const TensorRef& dst, const Extent& dst_extent, const TensorRef& src, const Extent& src_extent);
  std::uint8_t* HostAddress(const TensorRef& tensor);

  // Order.
  void SetFlag(Pipe src, Pipe dst, int id, Site site);
  void WaitFlag(Pipe src, Pipe dst, int id, Site site);
  void Barrier(Pipe pipe, Site site);
  // What the compiler inserts for vector cores unless told not to: `pipe` waits for what `earlier` has done so far.
  // False where it inserts nothing.
  bool AutoSync(Pipe earlier, Pipe pipe, Site site);
  // `pipe` waits for what the other one has been given so far, as by a flag.
  void OrderPipes(Pipe earlier, Pipe pipe, const char* why, Site site);
  void BarrierAll(Site site);
  void CrossSet(int mode, Pipe pipe, int flag, Site site);
  void CrossWait(int flag, Site site, const char* instruction = "CrossCoreWaitFlag");
  void SyncAll(bool vector_only, Site site);
  // Flags in global memory: a core that has written one makes known what it has done, one that waits for it learns it.
  void Publish(const void* address, Site site, bool traced);
  void Observe(const void* address, Site site);
  // The scalar unit reads global memory, perhaps in a loop that waits for another core.
  void PollGm(Site site);
  // Of one line, or of everything at null: from here on the core sees what others have published.
  void ManageCache(const void* address, Site site);
  bool manages_cache() const { return manages_cache_; }
  void Finish();  // end of the program: nothing may be left set

  std::uint64_t Allocate(Space space, std::uint32_t bytes, Site site);
  std::uint64_t Allocated(Space space) const { return allocated_[static_cast<int>(space)]; }
  void ResetAllocation();

  [[noreturn]] void Fault(KernelFinding finding);
  void Report(KernelFinding finding);
  void Note(KernelFinding finding);
  void ReportHostFault(KernelFinding finding, bool goes_on);
  KernelFinding NewFinding(const char* check, Site site, const char* instruction) const;
  std::string Name() const { return CoreName(id()); }

  LocalMemory& memory(Space space) { return memories_[static_cast<int>(space)]; }
  LaunchState& state() const { return *state_; }
  CoreKind kind() const { return kind_; }
  int group() const { return group_; }
  int vector_index() const { return index_in_group_ - 1; }
  std::uint64_t issued() const { return next_index_ + polls_; }
  Site last_site() const { return last_site_; }
  int id() const { return group_ * kGroupCores + index_in_group_; }
  CoreTrace TakeTrace() { return std::move(trace_); }

  VectorMask mask;
  AtomicMode atomic;
  ControlRegister control;
  Shuffle shuffle;
  std::uint64_t scratch[kScratchWords];
  std::vector<std::uint8_t> sparse_indices;  // beside L0B, a quarter of its size
  std::vector<std::vector<Instruction::Operand>> operand_storage;
  int open_instructions = 0;
  Manner next_manner = Manner::kPlain;  // of the flag that comes next
  bool waiting = false;                 // for a cross-core flag
  bool polling = false;                 // gave way to the others while it reads global memory
  int waiting_flag = 0;
  bool takes_chip_wide = true;  // flags that all cores of the chip have set, at its next wait
  const char* waiting_instruction = "";
  Site waiting_site;

 private:
  friend class AccessCheck;

  // What the core has touched of an argument lies between these. A loop that goes nowhere does not grow it.
  struct GmReach {
    const GmRegionState* region;
    std::uint64_t first, last;
  };
  struct Flag {
    bool set = false;
    Clock clock;
    std::uint32_t event = 0;
    Site site;
  };

  void Reach(const GmRegionState* region, std::uint64_t first, std::uint64_t last);
  Clock& PipeClock(Pipe pipe);  // up to date with what the scalar unit has waited for
  Clock Snapshot(Pipe pipe);    // everything issued to the pipe so far
  void Join(Pipe pipe, const Clock& clock);
  Flag& FlagOf(Pipe src, Pipe dst, int id) { return flags_[static_cast<int>(src)][static_cast<int>(dst)][id]; }
  template <class F>
  void ForEachUsedFlag(F&& f) {
    for (int src = 0; src < kPipes; ++src)
      for (int dst = 0; dst < kPipes; ++dst)
        for (int id = 0; id < kEventIds; ++id)
          if (used_flags_[src][dst] >> id & 1) {
            f(flags_[src][dst][id], static_cast<Pipe>(src), static_cast<Pipe>(dst), id);
          }
  }
  void CheckScheduler(const char* instruction, Site site);
  void ReportSchedule(Site site);
  void CheckEventId(int id, const char* instruction, Site site);
  void Append(const Record& record, const char* instruction, Site site);
  std::uint32_t SiteIndex(const char* instruction, Site site);
  // Order is followed for the checks, and for what the compiler and the chip make wait, which takes time.
  bool FollowsOrder() const { return state_->options.check || state_->options.trace; }
  std::uint32_t SiteOfIndex(std::uint32_t index) const { return site_of_index_[index]; }
  void ReportLeftOver(const Flag& flag, Pipe src, Pipe dst, int id);

  LaunchState* state_ = nullptr;
  CoreKind kind_ = CoreKind::kCube;
  int group_ = 0, index_in_group_ = 0;
  LocalMemory memories_[kSpaces];
  std::uint64_t allocated_[kSpaces];

  std::uint32_t next_index_ = 1;
  std::vector<GmReach> reaches_;
  std::uint32_t newest_reach_ = 0;  // instruction that grew one of them
  bool manages_cache_ = false;
  std::uint32_t polls_ = 0;  // reads of global memory since the core last did anything else
  Site last_site_;
  std::uint32_t last_index_[kPipes];  // of the newest instruction of each pipe
  Clock pipe_clocks_[kPipes];
  Clock issue_clock_;
  std::uint32_t issue_version_ = 0, pipe_version_[kPipes];
  Flag flags_[kPipes][kPipes][kEventIds];
  std::uint8_t used_flags_[kPipes][kPipes] = {};  // a bit per id
  std::uint32_t next_event_ = 0;

  CoreTrace trace_;
  SiteCache site_cache_;
  std::vector<std::uint32_t> site_of_index_;
};

// The core whose program runs on this host thread.
Core& Current();
void SetCurrent(Core* core);
// Lets other cores run; returns when the scheduler comes back to this one.
void YieldCurrent();
// Ends the program of this core.
[[noreturn]] void AbandonCurrent();

}  // namespace npufa_sim
