#include "core.h"

#include <cstring>

#include "access_check.h"
#include "gm_bursts.h"
#include "machine.h"

namespace npufa_sim {
namespace {

// Programs that do more are taken to be without an end.
constexpr std::uint32_t kMaxInstructions = 1u << 25;
constexpr std::uint32_t kPollsBeforeYield = 16, kMaxPolls = 1u << 24;
constexpr std::int64_t kPollBytes = 64;  // a copy that may be a look at a flag

constexpr Pipe kAllPipes[kPipes] = {Pipe::kS, Pipe::kV, Pipe::kM, Pipe::kMTE1, Pipe::kMTE2, Pipe::kMTE3, Pipe::kFIX};

std::uint64_t LineOf(const void* address) { return reinterpret_cast<std::uint64_t>(address) / 64; }

bool LooksAtFlag(const Instruction& ins) {
  for (const Instruction::Operand& operand : ins.operands()) {
    if (operand.tensor.space != Space::kGM || operand.write || operand.extent.bytes > kPollBytes) continue;
    return true;
  }
  return false;
}

std::string PairName(Pipe src, Pipe dst) { return std::string(NameOf(src)) + "_" + NameOf(dst); }

}  // namespace

void Core::Configure(const ChipDescription& chip, CoreKind kind) {
  kind_ = kind;
  for (int space = 0; space < kSpaces; ++space) {
    const bool on_vector = static_cast<Space>(space) == Space::kUB;
    const bool present = static_cast<Space>(space) != Space::kGM && on_vector == (kind == CoreKind::kVector);
    memories_[space].Configure(present ? chip.space_bytes[space] : 0);
  }
}

void Core::Start(LaunchState* state, int group, int index_in_group) {
  state_ = state;
  group_ = group;
  index_in_group_ = index_in_group;
  for (LocalMemory& memory : memories_) memory.Reset();
  mask = {};
  atomic = {};
  std::memset(scratch, 0, sizeof scratch);
  ResetAllocation();
  open_instructions = 0;
  waiting = false;
  next_index_ = 1;
  polls_ = 0;
  manages_cache_ = false;
  polling = false;
  last_site_ = {};
  std::memset(last_index_, 0, sizeof last_index_);
  for (Clock& clock : pipe_clocks_) clock = {};
  issue_clock_ = {};
  issue_version_ = 0;
  std::memset(pipe_version_, 0, sizeof pipe_version_);
  ForEachUsedFlag([](Flag& flag, Pipe, Pipe, int) { flag = {}; });
  std::memset(used_flags_, 0, sizeof used_flags_);
  next_event_ = 0;
  trace_ = {kind_, group, index_in_group == 0 ? 0 : index_in_group - 1, {}, {}};
  site_cache_.Clear();
  site_of_index_.assign(1, 0);
}

std::string CoreName(int id) {
  const int index = id % kGroupCores;
  return "group " + std::to_string(id / kGroupCores) + (index == 0 ? " cube" : " vector " + std::to_string(index - 1));
}

Clock& Core::PipeClock(Pipe pipe) {
  const int p = static_cast<int>(pipe);
  if (pipe_version_[p] != issue_version_) {
    pipe_clocks_[p].Join(issue_clock_);
    pipe_version_[p] = issue_version_;
  }
  return pipe_clocks_[p];
}

Clock Core::Snapshot(Pipe pipe) {
  Clock clock = PipeClock(pipe);
  clock.own[SlotOf(index_in_group_, pipe)] = last_index_[static_cast<int>(pipe)];
  return clock;
}

void Core::Join(Pipe pipe, const Clock& clock) {
  PipeClock(pipe).Join(clock);
  if (pipe == Pipe::kS) {
    issue_clock_.Join(clock);
    ++issue_version_;
  }
}

std::uint32_t Core::SiteIndex(const char* instruction, Site site) {
  return site_cache_.Find(state_->sites, instruction, site);
}

void Core::Append(const Record& record, const char* instruction, Site site) {
  if (!state_->options.trace) return;
  trace_.records.push_back(record);
  trace_.records.back().site = SiteIndex(instruction, site);
}

void Core::Execute(Instruction& ins, const Cost& cost) {
  EndProbe();
  const std::uint32_t index = next_index_++;
  last_site_ = ins.site();
  if (index >= kMaxInstructions) {
    KernelFinding finding = NewFinding("endless-loop", ins.site(), ins.name());
    finding.message = "the core has issued " + std::to_string(kMaxInstructions) + " instructions without an end";
    finding.advice = "check the loop's step and its end; a step from tiling data may be zero";
    Fault(std::move(finding));
  }
  if (ins.pipe() != Pipe::kS) {
    if (LooksAtFlag(ins)) PollGm(ins.site());
    else polls_ = 0;
  }
  const std::uint32_t site = WantsSites() ? SiteIndex(ins.name(), ins.site()) : 0;
  if (state_->options.check) site_of_index_.push_back(site);
  AccessCheck(*this, ins, index, site).Run();
  last_index_[static_cast<int>(ins.pipe())] = index;
  if (!state_->options.trace) return;
  Record record;
  record.op = cost.op;
  record.pipe = ins.pipe();
  record.dtype = cost.dtype;
  record.a = cost.a;
  record.b = cost.b;
  record.c = cost.c;
  for (const Instruction::Operand& operand : ins.operands()) {
    if (operand.tensor.space == Space::kGM) SetGmBursts(record, operand.tensor, operand.extent);
  }
  record.site = site;
  trace_.records.push_back(record);
}

std::uint8_t* Core::HostAddress(const TensorRef& tensor) {
  if (tensor.space == Space::kGM) return reinterpret_cast<std::uint8_t*>(tensor.address);
  return memory(tensor.space).data() + tensor.address;
}

void Core::CheckEventId(int id, const char* instruction, Site site) {
  if (id >= 0 && id < kEventIds) return;
  KernelFinding finding = NewFinding("parameter", site, instruction);
  finding.message = "event id " + std::to_string(id) + " does not exist";
  finding.advice = "event ids are 0 to 7 for each pair of pipes";
  Fault(std::move(finding));
}

void Core::SetFlag(Pipe src, Pipe dst, int id, Site site) {
  CheckEventId(id, "SetFlag", site);
  Flag& flag = FlagOf(src, dst, id);
  if (flag.set) {
    KernelFinding finding = NewFinding("flag-set-twice", site, "SetFlag");
    finding.message = "event " + PairName(src, dst) + " id " + std::to_string(id) +
                      " is set again before anybody waited for it; it was set at " + flag.site.file + ":" +
                      std::to_string(flag.site.line);
    finding.advice = "wait for the flag before setting it again, or use another event id";
    Report(std::move(finding));
  }
  flag.set = true;
  if (state_->options.check) flag.clock = Snapshot(src);
  flag.event = ++next_event_;
  flag.site = site;
  used_flags_[static_cast<int>(src)][static_cast<int>(dst)] |= static_cast<std::uint8_t>(1 << id);
  Record record;
  record.op = OpClass::kSetFlag;
  record.pipe = src;
  record.peer = dst;
  record.event = flag.event;
  Append(record, "SetFlag", site);
}

void Core::WaitFlag(Pipe src, Pipe dst, int id, Site site) {
  CheckEventId(id, "WaitFlag", site);
  Flag& flag = FlagOf(src, dst, id);
  if (!flag.set) {
    KernelFinding finding = NewFinding("deadlock", site, "WaitFlag");
    finding.message = "waits for event " + PairName(src, dst) + " id " + std::to_string(id) +
                      ", which no SetFlag before it has set: the core hangs";
    finding.advice = "set the flag on pipe " + std::string(NameOf(src)) + " earlier in the program, once for each wait";
    Fault(std::move(finding));
  }
  flag.set = false;
  if (state_->options.check) Join(dst, flag.clock);
  Record record;
  record.op = OpClass::kWaitFlag;
  record.pipe = dst;
  record.peer = src;
  record.event = flag.event;
  Append(record, "WaitFlag", site);
}

void Core::Barrier(Pipe pipe, Site site) {
  PipeClock(pipe).own[SlotOf(index_in_group_, pipe)] = last_index_[static_cast<int>(pipe)];
  Record record;
  record.op = OpClass::kBarrier;
  record.pipe = pipe;
  Append(record, "PipeBarrier", site);
}

bool Core::AutoSync(Pipe earlier, Pipe pipe, Site site) {
  if (!state_->options.auto_sync || kind_ != CoreKind::kVector) return false;
  const bool moves = earlier == Pipe::kMTE2 || earlier == Pipe::kMTE3;
  const bool covered = earlier == Pipe::kS || (pipe == Pipe::kS && (moves || earlier == Pipe::kV)) ||
                       (pipe == Pipe::kV && earlier == Pipe::kV);
  if (!covered) return false;
  if (earlier == pipe) {
    Barrier(pipe, site);
  } else {
    OrderPipes(earlier, pipe, "auto sync", site);
  }
  return true;
}

void Core::OrderPipes(Pipe earlier, Pipe pipe, const char* why, Site site) {
  Join(pipe, Snapshot(earlier));
  Record record;
  record.op = OpClass::kSetFlag;
  record.pipe = earlier;
  record.peer = pipe;
  record.event = ++next_event_;
  Append(record, why, site);
  record.op = OpClass::kWaitFlag;
  record.pipe = pipe;
  record.peer = earlier;
  Append(record, why, site);
}

void Core::BarrierAll(Site site) {
  for (const Pipe pipe : kAllPipes) issue_clock_.Join(Snapshot(pipe));
  ++issue_version_;
  Record record;
  record.op = OpClass::kBarrier;
  record.a = 1;
  Append(record, "PipeBarrier", site);
}

void Core::CheckScheduler(const char* instruction, Site site) {
  if (state_->scheduler) return;
  KernelFinding finding = NewFinding("task-type", site, instruction);
  finding.message = "the documentation says that kernels of type KERNEL_TYPE_AIV_ONLY and KERNEL_TYPE_AIC_ONLY run "
                    "without the scheduler that carries flags between cores";
  finding.advice = "declare KERNEL_TYPE_MIX_AIV_1_0 or KERNEL_TYPE_MIX_AIC_1_0: __mix__(0, 1) or __mix__(1, 0)";
  Note(std::move(finding));
}

void Core::CrossSet(int mode, Pipe pipe, int flag, Site site) {
  CheckScheduler("CrossCoreSetFlag", site);
  if (mode < 0 || mode > 2 || flag < 0 || flag >= kCrossFlags || pipe == Pipe::kS) {
    KernelFinding finding = NewFinding("parameter", site, "CrossCoreSetFlag");
    finding.message = "mode " + std::to_string(mode) + ", pipe " + NameOf(pipe) + ", flag " + std::to_string(flag);
    finding.advice = "modes are 0 to 2, flags 0 to 15, and the pipe is one that moves or computes data";
    Fault(std::move(finding));
  }
  const bool cube = kind_ == CoreKind::kCube;
  const int vectors = state_->VectorsPerGroup();
  std::vector<int> receivers;
  int participants = 0;
  const auto add_group = [&](int group, bool to_cube) {
    if (to_cube) receivers.push_back(group * kGroupCores);
    for (int v = 0; !to_cube && v < vectors; ++v) receivers.push_back(group * kGroupCores + 1 + v);
  };
  int scope = group_;
  if (mode == 0) {
    scope = -1;
    for (int group = 0; group < state_->groups; ++group) add_group(group, cube);
    if (state_->type == TaskType::kAivOnly) receivers.resize(state_->launch.block_dim);
    participants = static_cast<int>(receivers.size());
  } else if (mode == 1) {
    add_group(group_, false);
    participants = vectors;
  } else {
    add_group(group_, !cube);
    participants = cube ? 1 : vectors;
  }
  const int channel_kind = mode * 2 + (cube ? 0 : 1);
  Record record;
  record.op = OpClass::kCrossSet;
  record.pipe = pipe;
  record.event = state_->cross.Signal({scope, channel_kind, flag}, id(), participants, Snapshot(pipe), receivers, site);
  Append(record, "CrossCoreSetFlag", site);
  constexpr int kCounterLimit = 15;
  for (const int receiver : receivers) {
    if (state_->cross.Pending(receiver, flag) <= kCounterLimit) continue;
    KernelFinding finding = NewFinding("flag-overflow", site, "CrossCoreSetFlag");
    finding.message = "flag " + std::to_string(flag) + " was set more than 15 times without a wait";
    finding.advice = "the hardware counter holds 15: let the other core answer before setting again";
    Fault(std::move(finding));
  }
}

void Core::CrossWait(int flag, Site site, const char* instruction) {
  CheckScheduler(instruction, site);
  if (flag < 0 || flag >= kCrossFlags) {
    KernelFinding finding = NewFinding("parameter", site, instruction);
    finding.message = "flag " + std::to_string(flag);
    finding.advice = "flags are 0 to 15";
    Fault(std::move(finding));
  }
  CrossDelivery delivery;
  waiting_flag = flag;
  waiting_instruction = instruction;
  waiting_site = site;
  while (!state_->cross.Take(id(), flag, &delivery)) {
    waiting = true;
    YieldCurrent();
    if (state_->failed) AbandonCurrent();
  }
  waiting = false;
  if (delivery.clock.chip) {
    for (int i = 0; i < kGroupSlots; ++i) {
      delivery.clock.own[i] = std::max(delivery.clock.own[i], (*delivery.clock.chip)[group_ * kGroupSlots + i]);
    }
  }
  Join(Pipe::kS, delivery.clock);
  Record record;
  record.op = OpClass::kCrossWait;
  record.event = delivery.id;
  Append(record, instruction, site);
}

// The hardware's own reserved flags carry it, as in the toolkit.
void Core::SyncAll(bool vector_only, Site site) {
  constexpr int kCubeFlag = 11, kMixFlag = 13, kVectorFlag = 14;
  constexpr const char* kName = "SyncAll";
  CheckScheduler(kName, site);
  const bool cube = kind_ == CoreKind::kCube;
  BarrierAll(site);
  const Pipe pipe = cube ? Pipe::kFIX : Pipe::kMTE3;
  if (vector_only || state_->type == TaskType::kAivOnly || state_->type == TaskType::kAicOnly) {
    if (vector_only && cube && state_->type != TaskType::kAicOnly) return;
    const int flag = cube ? kCubeFlag : kVectorFlag;
    CrossSet(0, pipe, flag, site);
    CrossWait(flag, site, kName);
    return;
  }
  if (cube) {
    CrossWait(kMixFlag, site, kName);
    CrossSet(0, pipe, kCubeFlag, site);
    CrossWait(kCubeFlag, site, kName);
    CrossSet(2, pipe, kMixFlag, site);
  } else {
    CrossSet(2, pipe, kMixFlag, site);
    CrossWait(kMixFlag, site, kName);
  }
}

void Core::Publish(const void* address, Site site, bool traced) {
  Record record;
  if (traced) {
    record.op = OpClass::kCrossSet;
    record.pipe = Pipe::kS;
    record.event = state_->cross.NewEvent();
    Append(record, "global memory flag", site);
    ++record.event;  // 0: nothing to wait for
  }
  state_->gm_flags.Publish(LineOf(address), group_, Snapshot(Pipe::kS), record.event);
}

void Core::ManageCache(const void* address, Site site) {
  manages_cache_ = true;
  PollGm(site);
  Observe(address, site);
  Publish(address, site, false);
}

void Core::Observe(const void* address, Site site) {
  const std::optional<GmFlag> flag = state_->gm_flags.Look(LineOf(address));
  if (!flag) return;
  Clock clock;
  for (int i = 0; i < kGroupSlots; ++i) clock.own[i] = (*flag->clock)[group_ * kGroupSlots + i];
  clock.chip = flag->clock;
  Join(Pipe::kS, clock);
  if (flag->event == 0) return;
  Record record;
  record.op = OpClass::kCrossWait;
  record.event = flag->event - 1;
  Append(record, "global memory flag", site);
}

void Core::PollGm(Site site) {
  EndProbe();
  if (++polls_ % kPollsBeforeYield != 0) return;
  if (polls_ >= kMaxPolls) {
    KernelFinding finding = NewFinding("endless-loop", site, "GetValue");
    finding.message = "the core has read global memory " + std::to_string(kMaxPolls) + " times and waits still";
    finding.advice = "the core that writes the flag must run at the same time and come to its write";
    Fault(std::move(finding));
  }
  polling = true;
  YieldCurrent();
  polling = false;
  if (state_->failed) AbandonCurrent();
}

void Core::ReportHostFault(KernelFinding finding, bool goes_on) {
  if (!goes_on) state_->failed = true;
  state_->findings.Add(std::move(finding));
}

void Core::ReportLeftOver(const Flag& flag, Pipe src, Pipe dst, int id) {
  KernelFinding finding = NewFinding("flag-left-set", flag.site, "SetFlag");
  finding.message = "event " + PairName(src, dst) + " id " + std::to_string(id) + " is still set when the kernel ends";
  finding.advice = "every SetFlag needs its WaitFlag; a flag left set releases a wait of the next kernel too early";
  Report(std::move(finding));
}

void Core::Finish() {
  ForEachUsedFlag([this](const Flag& flag, Pipe src, Pipe dst, int id) {
    if (flag.set) ReportLeftOver(flag, src, dst, id);
  });
  trace_.sites = state_->options.trace ? state_->sites.All() : std::vector<TraceSite>();
}

std::uint64_t Core::Allocate(Space space, std::uint32_t bytes, Site site) {
  LocalMemory& target = memory(space);
  std::uint64_t& used = allocated_[static_cast<int>(space)];
  const std::uint64_t begin = used;
  // Only books are kept: a buffer may never be touched, or lie in a memory of the other kind of core.
  if (target.bytes() != 0 && begin + bytes > target.bytes()) {
    KernelFinding finding = NewFinding("over-allocation", site, "InitBuffer");
    finding.space = NameOf(space);
    finding.message = "needs " + std::to_string(bytes) + " bytes, " + std::to_string(used) + " of " +
                      std::to_string(target.bytes()) + " are taken";
    finding.advice = "make the buffers smaller, fewer, or share one";
    Note(std::move(finding));
  }
  used += (bytes + kCellBytes - 1) / kCellBytes * kCellBytes;
  target.buffers.push_back({begin, begin + bytes, site});
  return begin;
}

void Core::ResetAllocation() {
  std::memset(allocated_, 0, sizeof allocated_);
  for (LocalMemory& memory : memories_) memory.buffers.clear();
}

KernelFinding Core::NewFinding(const char* check, Site site, const char* instruction) const {
  KernelFinding finding;
  finding.check = check;
  finding.instruction = instruction;
  finding.core = Name();
  finding.file = site.file;
  finding.line = site.line;
  return finding;
}

void Core::Report(KernelFinding finding) {
  if (state_->options.check) state_->findings.Add(std::move(finding));
}

void Core::Note(KernelFinding finding) {
  finding.note = true;
  Report(std::move(finding));
}

void Core::Fault(KernelFinding finding) {
  state_->findings.Add(std::move(finding));
  state_->failed = true;
  AbandonCurrent();
}

}  // namespace npufa_sim
