#include "machine.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <stdexcept>
#include <thread>
#include <utility>

#include "core_group.h"
#include "host_faults.h"
#include "progress.h"

namespace npufa_sim {
namespace {

thread_local Core* current_core = nullptr;

struct Probe {
  bool active = false;
  std::uint64_t tiling_key = 0;
  TaskDeclaration task;
  bool works = false;
};
thread_local Probe probe;

constexpr std::size_t kMaxArguments = 64;

template <std::size_t... I>
void CallWith(void* entry, const std::vector<void*>& arguments, std::index_sequence<I...>) {
  reinterpret_cast<void (*)(decltype((void)I, static_cast<void*>(nullptr))...)>(entry)(arguments[I]...);
}

template <std::size_t... N>
void Dispatch(void* entry, const std::vector<void*>& arguments, std::index_sequence<N...>) {
  using Call = void (*)(void*, const std::vector<void*>&);
  static constexpr Call table[] = {
      [](void* e, const std::vector<void*>& a) { CallWith(e, a, std::make_index_sequence<N>()); }...};
  table[arguments.size()](entry, arguments);
}

void CallKernel(void* entry, const Launch& launch) {
  if (launch.call) return launch.call(entry);
  Dispatch(entry, launch.arguments, std::make_index_sequence<kMaxArguments + 1>());
}

class Machine {
 public:
  Machine(LaunchState& state, std::vector<CoreTrace>& traces)
      : state_(state), traces_(traces), progress_(state.launch.kernel, state.groups) {}

  void Run(int threads) {
    workers_ = threads;
    std::vector<std::thread> pool;
    for (int i = 1; i < threads; ++i) pool.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : pool) thread.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void Work() {
    const HostFaultScope faults;
    std::vector<std::unique_ptr<CoreGroup>> running, idle;
    while (true) {
      const std::uint64_t seen = Arrivals();
      bool moved = false, polled = false;
      for (std::size_t i = 0; i < running.size();) {
        moved |= Advance(*running[i], &polled);
        if (running[i]->done()) {
          Collect(*running[i]);
          idle.push_back(std::move(running[i]));
          running.erase(running.begin() + i);
        } else {
          ++i;
        }
      }
      if (moved) continue;
      const int next = state_.failed ? state_.groups : next_group_.fetch_add(1);
      if (next < state_.groups) {
        if (idle.empty()) idle.push_back(CoreGroup::Take(state_.chip));
        running.push_back(std::move(idle.back()));
        idle.pop_back();
        StartGroup(*running.back(), next);
        continue;
      }
      if (running.empty()) break;
      if (polled) {
        std::this_thread::yield();
        continue;
      }
      if (!Sleep(seen)) ReportDeadlock(running);
    }
    for (auto& group : idle) CoreGroup::Give(std::move(group));
    std::lock_guard lock(mutex_);
    --workers_;
    ++arrivals_;
    wake_.notify_all();
  }

  void StartGroup(CoreGroup& group, int id) {
    group.id = id;
    group.shuffle.Start(state_.options.shuffle, state_.groups * kGroupCores + id);
    for (int i = 0; i < kGroupCores; ++i) {
      const int vector = i - 1;
      group.used[i] = i == 0 ? state_.HasCube() : vector < state_.VectorsPerGroup();
      if (i > 0 && state_.type == TaskType::kAivOnly) {
        group.used[i] = static_cast<std::uint32_t>(id * 2 + vector) < state_.launch.block_dim;
      }
      if (!group.used[i]) continue;
      Core& core = group.runners[i].core;
      core.Start(&state_, id, i);
      group.runners[i].fiber.Start([this, &core] { Program(core); });
    }
  }

  void Program(Core& core) {
    const Launch& launch = state_.launch;
    try {
      CallKernel(core.kind() == CoreKind::kCube ? launch.cube_entry : launch.vector_entry, launch);
      if (!state_.failed) core.Finish();
    } catch (...) {
      std::lock_guard lock(mutex_);
      error_ = std::current_exception();
      state_.failed = true;
    }
  }

  // Runs each core of the group until it waits; true when any of them got on. `polled`: one reads global memory in a
  // loop and must be asked again.
  bool Advance(CoreGroup& group, bool* polled) {
    // With a seed, other groups are heard only when this one is at rest: what it does then does not depend on when they
    // run.
    const bool moved = state_.options.shuffle == 0 ? Round(group, true, polled)
                                                   : Round(group, false, polled) || Round(group, true, polled);
    if (moved) {
      std::lock_guard lock(mutex_);
      ++arrivals_;
      wake_.notify_all();
    }
    return moved;
  }

  bool Round(CoreGroup& group, bool chip_wide, bool* polled) {
    std::array<int, kGroupCores> flags;
    for (int i = 0; i < kGroupCores; ++i) {
      const bool waits = group.used[i] && group.runners[i].core.waiting;
      flags[i] = waits ? group.runners[i].core.waiting_flag : -1;
    }
    bool moved = false;
    const int first = static_cast<int>(group.shuffle.Below(kGroupCores));
    const std::array<bool, kGroupCores> ready = state_.cross.Ready(group.id, flags, chip_wide);
    for (int turn = 0; turn < kGroupCores; ++turn) {
      const int i = (first + turn) % kGroupCores;
      Runner& runner = group.runners[i];
      if (!group.used[i] || runner.fiber.done()) continue;
      Core& core = runner.core;
      if (core.waiting && !state_.failed && !ready[i]) continue;
      if (core.waiting && chip_wide) core.takes_chip_wide = true;
      SetCurrent(&core);
      ResumeCore(core, runner.fiber);
      SetCurrent(nullptr);
      const bool polls = core.polling && !runner.fiber.done();
      *polled |= polls;
      moved |= !polls;
    }
    return moved;
  }

  void Collect(CoreGroup& group) {
    progress_.Step();
    if (!state_.options.trace) return;
    std::lock_guard lock(mutex_);
    for (int i = 0; i < kGroupCores; ++i) {
      if (group.used[i]) traces_[group.id * kGroupCores + i] = group.runners[i].core.TakeTrace();
    }
  }

  std::uint64_t Arrivals() {
    std::lock_guard lock(mutex_);
    return arrivals_;
  }

  // False when every worker sleeps: nobody is left to set a flag. `seen`: arrivals before this worker looked at its
  // cores.
  bool Sleep(std::uint64_t seen) {
    std::unique_lock lock(mutex_);
    if (arrivals_ != seen || state_.failed) return true;
    if (seen != last_seen_) {
      last_seen_ = seen;
      sleepers_ = 0;
    }
    if (++sleepers_ >= workers_) {
      deadlocked_ = true;
      wake_.notify_all();
    }
    wake_.wait(lock, [&] { return arrivals_ != seen || deadlocked_ || state_.failed; });
    return !deadlocked_;
  }

  // Each worker reports the cores it runs.
  void ReportDeadlock(const std::vector<std::unique_ptr<CoreGroup>>& running) {
    const std::vector<CrossLeftOver> left = state_.cross.LeftOver();
    for (const auto& group : running) {
      for (int i = 0; i < kGroupCores; ++i) {
        if (!group->used[i] || group->runners[i].fiber.done()) continue;
        const Core& core = group->runners[i].core;
        KernelFinding finding = core.NewFinding("deadlock", core.waiting_site, core.waiting_instruction);
        finding.message = "waits for flag " + std::to_string(core.waiting_flag) + ", which no running core will set" +
                          WhoHasSet(left, core);
        finding.advice = "every wait needs a CrossCoreSetFlag by all cores that its mode asks for";
        state_.findings.Add(std::move(finding));
      }
    }
    state_.failed = true;
  }

  static std::string WhoHasSet(const std::vector<CrossLeftOver>& left, const Core& core) {
    for (const CrossLeftOver& event : left) {
      if (event.flag != core.waiting_flag || event.setters.empty()) continue;
      const auto end = event.receivers.end();
      if (std::find(event.receivers.begin(), end, core.id()) != end) return "; " + Setters(event);
    }
    return "";
  }

 public:
  // "only group 0 vector 0 of 2 cores set it"
  static std::string Setters(const CrossLeftOver& event) {
    const std::size_t more = event.setters.size() - 1;
    const std::string others = more > 0 ? " and " + std::to_string(more) + " more" : "";
    return "only " + CoreName(event.setters.front()) + others + " of " + std::to_string(event.participants) +
           " cores set it";
  }

 private:
  LaunchState& state_;
  std::vector<CoreTrace>& traces_;
  Progress progress_;
  std::atomic<int> next_group_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  int workers_ = 0, sleepers_ = 0;
  std::uint64_t arrivals_ = 0, last_seen_ = 0;
  bool deadlocked_ = false;
  std::exception_ptr error_;
};

void ReportLeftOver(LaunchState& state) {
  for (const CrossLeftOver& event : state.cross.LeftOver()) {
    const bool complete = event.setters.empty();
    KernelFinding finding;
    finding.check = "flag-left-set";
    finding.instruction = "CrossCoreSetFlag";
    finding.core = CoreName(complete ? event.receivers.front() : event.setters.front());
    finding.file = event.site.file;
    finding.line = event.site.line;
    finding.message = "flag " + std::to_string(event.flag) +
                      (complete ? " was set, and " + finding.core + " did not wait for it before the kernel ended"
                                : ": when the kernel ends " + Machine::Setters(event));
    finding.advice = "every CrossCoreSetFlag needs its CrossCoreWaitFlag on each receiving core";
    state.findings.Add(std::move(finding));
  }
}

// What one program of the kernel declares, or whether it works.
Probe ProbeProgram(const ChipDescription& chip, const Launch& launch, const LaunchOptions& options, bool vector) {
  // Buffers are real, so that whatever stands before the declaration may run.
  LaunchState state(chip, launch, options, TaskType::kMix1To2, 1);
  void* entry = vector ? launch.vector_entry : launch.cube_entry;
  std::unique_ptr<CoreGroup> group = CoreGroup::Take(chip);
  Runner& runner = group->runners[vector ? 1 : 0];
  runner.core.Start(&state, 0, vector ? 1 : 0);
  probe = {true, launch.tiling_key, {}};
  runner.fiber.Start([&] { CallKernel(entry, launch); });
  const HostFaultScope faults;
  SetCurrent(&runner.core);
  ResumeCore(runner.core, runner.fiber);
  SetCurrent(nullptr);
  CoreGroup::Give(std::move(group));
  probe.active = false;
  return probe;
}

// Without a declaration the cores that have something to do take part, as with the toolkit's compiler.
TaskDeclaration ProbeTaskType(const ChipDescription& chip, const Launch& launch, const LaunchOptions& options) {
  const Probe vector = launch.vector_entry ? ProbeProgram(chip, launch, options, true) : Probe();
  if (vector.task.type != TaskType::kUndeclared || !launch.cube_entry) return vector.task;
  const Probe cube = ProbeProgram(chip, launch, options, false);
  TaskDeclaration task = cube.task;
  if (task.type == TaskType::kUndeclared && cube.works) {
    task.type = vector.works ? TaskType::kMix1To2 : TaskType::kAicOnly;
  }
  return task;
}

void Validate(const ChipDescription& chip, const Launch& launch, TaskType type) {
  const auto fail = [&](const std::string& what) { throw std::invalid_argument(launch.kernel + ": " + what); };
  if (launch.arguments.size() > kMaxArguments) fail("more than 64 arguments");
  const int limit = type == TaskType::kAivOnly ? chip.aiv_count : chip.aic_count;
  if (launch.block_dim < 1 || static_cast<int>(launch.block_dim) > limit) {
    fail("block_dim is " + std::to_string(launch.block_dim) + ", must be 1 to " + std::to_string(limit) + " on " +
         chip.name + "; more blocks than cores, of which the chip lets some wait, are not modelled: let a block loop");
  }
  if (type != TaskType::kAicOnly && !launch.vector_entry) fail("no program for vector cores");
  if (type != TaskType::kAivOnly && !launch.cube_entry) fail("no program for cube cores");
}

}  // namespace

Core& Current() { return *current_core; }
void SetCurrent(Core* core) { current_core = core; }
void AbandonCurrent() { RunningFiber()->Abandon(); }
void EndProbe(bool works) {
  if (!probe.active) return;
  probe.works = works;
  AbandonCurrent();
}

void YieldCurrent() {
  EndProbe(true);
  RunningFiber()->Yield();
}

void ProbedTaskType(std::uint64_t tiling_key, bool any_key, TaskDeclaration task) {
  if (!probe.active || (!any_key && tiling_key != probe.tiling_key)) return;
  probe.task = task;
  AbandonCurrent();
}

LaunchResult Run(const ChipDescription& chip, const Launch& launch, const LaunchOptions& given) {
  LaunchResult result;
  LaunchOptions options = given;
  if (options.trace) options.shuffle = 0;  // modelled times do not depend on a seed
  const TaskDeclaration task = ProbeTaskType(chip, launch, options);
  TaskType type = task.type;
  if (type == TaskType::kUndeclared) type = TaskType::kAivOnly;
  Validate(chip, launch, type);
  const int groups = type == TaskType::kAivOnly ? (launch.block_dim + 1) / 2 : launch.block_dim;
  LaunchState state(chip, launch, options, type, groups);
  state.scheduler = task.scheduler;
  std::vector<CoreTrace> traces(groups * kGroupCores);
  const int host = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = std::min(groups, options.threads > 0 ? options.threads : host);
  Machine machine(state, traces);
  machine.Run(threads);
  result.completed = !state.failed;
  if (result.completed && options.check) ReportLeftOver(state);
  result.findings = state.findings.Take();
  result.used = state.memory.Used();
  if (options.trace) {
    result.trace.kernel = launch.kernel;
    result.trace.block_dim = launch.block_dim;
    result.trace.cross_events = state.cross.events();
    for (CoreTrace& trace : traces) {
      if (!trace.records.empty()) result.trace.cores.push_back(std::move(trace));
    }
  }
  return result;
}

}  // namespace npufa_sim
