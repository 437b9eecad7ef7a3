#include "core.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "access_check.h"
#include "gm_bursts.h"
#include "machine.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kPollBytes = 64;  // a copy that may be a look at a flag

constexpr Pipe kAllPipes[kPipes] = {Pipe::kS, Pipe::kV, Pipe::kM, Pipe::kMTE1, Pipe::kMTE2, Pipe::kMTE3, Pipe::kFIX};

bool Writes(const Instruction& ins) {
  return std::any_of(ins.operands().begin(), ins.operands().end(), [](const auto& operand) { return operand.write; });
}

bool LooksAtFlag(const Instruction& ins) {
  for (const Instruction::Operand& operand : ins.operands()) {
    if (operand.tensor.space != Space::kGM || operand.write || operand.extent.bytes > kPollBytes) continue;
    return true;
  }
  return false;
}

// What a kernel finds: the defaults, or whatever an earlier one did to it.
constexpr ControlRegister kDefaults{std::uint64_t{1} << kNoSaturationBit, ~std::uint64_t{0}};
constexpr ControlRegister kInherited{kDefaults.value | std::uint64_t{1} << kHf32Bit |
                                     std::uint64_t{1} << kIntegerSaturationBit};

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
  shuffle.Start(state->options.shuffle, id());
  takes_chip_wide = !shuffle.on();
  control = shuffle.on() ? kInherited : kDefaults;
  std::memset(scratch, 0, sizeof scratch);
  ResetAllocation();
  open_instructions = 0;
  waiting = false;
  next_manner = Manner::kPlain;
  next_index_ = 1;
  newest_reach_ = 0;
  reaches_.clear();
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
  trace_.records.back().manner = std::exchange(next_manner, Manner::kPlain);
}

void Core::Execute(Instruction& ins, const Cost& cost) {
  // What a kernel reads may decide what it does.
  if (ins.pipe() != Pipe::kS || Writes(ins)) EndProbe(ins.pipe() != Pipe::kS);
  const std::uint32_t index = next_index_++;
  last_site_ = ins.site();
  if (index - newest_reach_ >= state_->options.patience) {
    KernelFinding finding = NewFinding("endless-loop", ins.site(), ins.name());
    finding.message = "the core has issued " + std::to_string(index - newest_reach_) +
                      " instructions since it last came to a new place in global memory";
    finding.advice =
        "check the loop's step and its end; a step from tiling data may be zero. NPUFA_SIM_PATIENCE sets "
        "how many instructions may pass";
    Fault(std::move(finding));
  }
  if (ins.pipe() != Pipe::kS) {
    if (LooksAtFlag(ins)) PollGm(ins.site());
    else polls_ = 0;
  }
  const std::uint32_t site = FollowsOrder() ? SiteIndex(ins.name(), ins.site()) : 0;
  if (FollowsOrder()) site_of_index_.push_back(site);
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
  record.event = cost.event;
  record.manner = cost.manner;
  for (const Instruction::Operand& operand : ins.operands()) {
    if (operand.tensor.space == Space::kGM) SetGmBursts(record, operand.tensor, operand.extent);
  }
  record.site = site;
  trace_.records.push_back(record);
}

void Core::Reach(const GmRegionState* region, std::uint64_t first, std::uint64_t last) {
  auto reach = std::find_if(reaches_.begin(), reaches_.end(), [&](const GmReach& r) { return r.region == region; });
  if (reach == reaches_.end()) reach = reaches_.insert(reach, {region, first, first});
  if (first >= reach->first && last <= reach->last) return;
  reach->first = std::min(reach->first, first);
  reach->last = std::max(reach->last, last);
  newest_reach_ = next_index_;
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
  if (FollowsOrder()) flag.clock = Snapshot(src);
  flag.event = ++next_event_;
  flag.site = site;
  used_flags_[static_cast<int>(src)][static_cast<int>(dst)] |= static_cast<std::uint8_t>(1 << id);
  Record record;
  record.op = OpClass::kSetFlag;
  record.pipe = src;
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
  if (FollowsOrder()) Join(dst, flag.clock);
  Record record;
  record.op = OpClass::kWaitFlag;
  record.pipe = dst;
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
  record.event = ++next_event_;
  Append(record, why, site);
  record.op = OpClass::kWaitFlag;
  record.pipe = pipe;
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
  // Only books are kept: a buffer may never be touched, or lie in a memory of the other kind of core. The end of L1 is
  // the toolkit's, for kernels that use its matrix products.
  const std::uint32_t size = target.bytes() - (space == Space::kL1 && target.bytes() != 0 ? kSystemBytes : 0);
  if (size != 0 && begin + bytes > size) {
    KernelFinding finding = NewFinding("over-allocation", site, "InitBuffer");
    finding.space = NameOf(space);
    finding.message = "needs " + std::to_string(bytes) + " bytes, " + std::to_string(used) + " of " +
                      std::to_string(size) + " are taken";
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
