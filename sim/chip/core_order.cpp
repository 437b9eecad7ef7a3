// Order between cores: flags of the chip, and words in global memory.
#include "core.h"
#include "machine.h"

namespace npufa_sim {
namespace {

constexpr std::uint32_t kPollsBeforeYield = 16, kMaxPolls = 1u << 24;

std::uint64_t LineOf(const void* address) { return reinterpret_cast<std::uint64_t>(address) / 64; }

}  // namespace

void Core::CheckScheduler(const char* instruction, Site site) {
  if (state_->scheduler) return;
  KernelFinding finding = NewFinding("task-type", site, instruction);
  finding.message =
      "the documentation says that kernels of type KERNEL_TYPE_AIV_ONLY and KERNEL_TYPE_AIC_ONLY run "
      "without the scheduler that carries flags between cores";
  finding.advice = "declare KERNEL_TYPE_MIX_AIV_1_0 or KERNEL_TYPE_MIX_AIC_1_0: __mix__(0, 1) or __mix__(1, 0)";
  Note(std::move(finding));
}

void Core::ReportSchedule(Site site) {
  KernelFinding finding = NewFinding("schedule-mode", site, "CrossCoreSetFlag");
  finding.message =
      "waits for all cores, whose blocks need not run at the same time: beside other streams the chip hangs";
  finding.advice = "SetScheduleMode(1) in the tiling function of such a launch";
  Report(std::move(finding));
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
    if (!state_->launch.starts_together) ReportSchedule(site);
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
  const std::tuple<int, int, int> channel{scope, channel_kind, flag};
  record.event = state_->cross.Signal(channel, id(), participants, Snapshot(pipe), receivers, site);
  Append(record, "CrossCoreSetFlag", site);
  constexpr int kCounterLimit = 15;
  if (state_->cross.Pending(channel, id(), receivers) > kCounterLimit) {
    KernelFinding finding = NewFinding("flag-overflow", site, "CrossCoreSetFlag");
    finding.message = "flag " + std::to_string(flag) + " may be set more than 15 times without a wait";
    finding.advice = "the hardware counter holds 15: let the other core answer before setting again";
    Report(std::move(finding));
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
  bool late = shuffle.Below(2) == 1;  // others go first
  while (late || !state_->cross.Take(id(), flag, takes_chip_wide, shuffle, &delivery)) {
    late = false;
    waiting = true;
    YieldCurrent();
    if (state_->failed) AbandonCurrent();
  }
  waiting = false;
  takes_chip_wide = !shuffle.on();
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
  if (++polls_ % kPollsBeforeYield != 0) return;
  EndProbe();
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

}  // namespace npufa_sim
