#include "time_api.h"

#include <atomic>
#include <charconv>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "finding_json.h"
#include "json.h"
#include "perfetto.h"
#include "replay.h"
#include "timeline_bins.h"
#include "timeline_spans.h"

namespace npufa_sim {
namespace {

// Kernels beyond this many records keep their numbers but not their trace: 1 GB.
constexpr std::uint64_t kKeptRecords = (1ULL << 30) / sizeof(Record);

struct ProfiledKernel {
  ChipDescription chip;  // with the changed parameters
  TimeReport report;
  std::unique_ptr<Trace> trace;  // null where there was no room
};

using Parameters = std::vector<std::pair<std::string, double>>;

struct Profile {
  Parameters parameters;
  std::uint64_t records = 0;
  std::vector<ProfiledKernel> kernels;
  JsonList findings{'[', ']'};
};

struct Profiler {
  std::mutex mutex;
  int next = 1;
  std::unique_ptr<Profile> running;
  std::map<int, Profile> done;
};

// Beside the lock, so that launches without a profile do not take it.
std::atomic<bool> profiling{false};
thread_local std::string answer, error;

Profiler& TheProfiler() {
  static Profiler profiler;
  return profiler;
}

Parameters Parse(const std::string& text) {
  Parameters parameters;
  TimeModel probe;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    const std::size_t equal = item.find('=');
    double value = 0;
    const char* last = item.data() + item.size();
    if (equal == std::string::npos || std::from_chars(item.data() + equal + 1, last, value).ptr != last) {
      throw std::invalid_argument("time model parameter '" + item + "' is not name=value");
    }
    SetParameter(probe, item.substr(0, equal), value);
    parameters.emplace_back(item.substr(0, equal), value);
    begin = end + 1;
  }
  return parameters;
}

Profile& Find(Profiler& profiler, int id) {
  const auto found = profiler.done.find(id);
  if (found == profiler.done.end()) throw std::invalid_argument("there is no profile " + std::to_string(id));
  return found->second;
}

std::string ToJson(int id, const Profile& profile) {
  JsonList kernels('[', ']');
  for (const ProfiledKernel& kernel : profile.kernels) {
    kernels.Add(JsonList('{', '}')
                    .Member("report", npufa_sim::ToJson(kernel.report))
                    .Member("trace_kept", kernel.trace ? "true" : "false")
                    .Text());
  }
  return JsonList('{', '}')
      .Member("profile", id)
      .Member("kernels", kernels.Text())
      .Member("findings", profile.findings.Text())
      .Text();
}

void SaveTrace(const Profile& profile, const char* path, std::uint64_t max_events) {
  std::vector<Timeline> timelines;
  std::vector<TracedKernel> kernels;
  timelines.reserve(profile.kernels.size());
  for (const ProfiledKernel& kernel : profile.kernels) {
    if (!kernel.trace) continue;
    Replay(kernel.chip, *kernel.trace, &timelines.emplace_back());
    kernels.push_back({kernel.trace.get(), &timelines.back(), &kernel.report});
  }
  if (kernels.empty()) throw std::invalid_argument("no kernel came to its end, so that the profile has no trace");
  WritePerfetto(kernels, path, max_events);
}

template <class Make>
std::string OneKernel(const Profile& profile, int index, Make make) {
  if (index < 0 || index >= static_cast<int>(profile.kernels.size())) {
    throw std::invalid_argument("the profile has no kernel " + std::to_string(index));
  }
  const ProfiledKernel& kernel = profile.kernels[index];
  if (!kernel.trace) throw std::invalid_argument("the trace of this kernel was too large to keep");
  Timeline timeline;
  Replay(kernel.chip, *kernel.trace, &timeline);
  return make(*kernel.trace, timeline, kernel.report);
}

std::string ChipFacts() {
  JsonList chips('{', '}');
  for (const std::string& name : ChipNames()) {
    const ChipDescription& chip = *FindChip(name);
    JsonList facts('{', '}');
    facts.Member("short_soc_version", JsonString(chip.short_soc_version));
    for (const auto& [fact, value] : chip.facts) facts.Member(fact, value);
    facts.Member("cube_peak_flops", chip.CubePeak(MmadType::kHalf));
    chips.Member(name, facts.Text());
  }
  return chips.Text();
}

// Calls work() and turns an exception into the C answer.
template <class Result, class Work>
Result Guarded(Result failure, Work work) {
  try {
    return work();
  } catch (const std::exception& e) {
    error = e.what();
    return failure;
  }
}

const char* Answer(std::string text) {
  answer = std::move(text);
  return answer.c_str();
}

}  // namespace

bool Profiling() { return profiling.load(std::memory_order_acquire); }

void KeepLaunch(const ChipDescription& chip, const std::string& name, LaunchResult&& result) {
  if (!Profiling()) return;
  Profiler& profiler = TheProfiler();
  std::lock_guard lock(profiler.mutex);
  if (!profiler.running) return;
  Profile& profile = *profiler.running;
  for (const KernelFinding& finding : result.findings) profile.findings.Add(FindingJson(name, finding));
  if (!result.completed) return;
  ProfiledKernel kernel{chip, {}, nullptr};
  for (const auto& [name, value] : profile.parameters) SetParameter(kernel.chip.model, name, value);
  kernel.report = Replay(kernel.chip, result.trace);
  if (profile.records + kernel.report.records <= kKeptRecords) {
    profile.records += kernel.report.records;
    kernel.trace = std::make_unique<Trace>(std::move(result.trace));
  }
  profile.kernels.push_back(std::move(kernel));
}

}  // namespace npufa_sim

using namespace npufa_sim;

extern "C" {

[[gnu::visibility("default")]] int npufa_sim_profile_begin(const char* parameters) {
  return Guarded(-1, [&] {
    auto profile = std::make_unique<Profile>();
    profile->parameters = Parse(parameters);
    Profiler& profiler = TheProfiler();
    std::lock_guard lock(profiler.mutex);
    if (profiler.running) throw std::invalid_argument("a profile is running already; profiles do not nest");
    profiler.running = std::move(profile);
    profiling.store(true, std::memory_order_release);
    return 0;
  });
}

[[gnu::visibility("default")]] const char* npufa_sim_profile_end() {
  return Guarded<const char*>(nullptr, [&] {
    Profiler& profiler = TheProfiler();
    std::lock_guard lock(profiler.mutex);
    profiling.store(false, std::memory_order_release);
    if (!profiler.running) throw std::invalid_argument("no profile is running");
    const int id = profiler.next++;
    const Profile& profile = profiler.done[id] = std::move(*profiler.running);
    profiler.running.reset();
    return Answer(ToJson(id, profile));
  });
}

[[gnu::visibility("default")]] int npufa_sim_profile_trace(int profile, const char* path,
                                                           unsigned long long max_events) {
  return Guarded(-1, [&] {
    Profiler& profiler = TheProfiler();
    std::lock_guard lock(profiler.mutex);
    SaveTrace(Find(profiler, profile), path, max_events);
    return 0;
  });
}

[[gnu::visibility("default")]] const char* npufa_sim_profile_timeline(int profile, int kernel, int bins) {
  return Guarded<const char*>(nullptr, [&] {
    Profiler& profiler = TheProfiler();
    std::lock_guard lock(profiler.mutex);
    if (bins < 1) throw std::invalid_argument("bins is " + std::to_string(bins) + ", must be at least 1");
    return Answer(
        OneKernel(Find(profiler, profile), kernel, [&](auto&... parts) { return TimelineBins(parts..., bins); }));
  });
}

[[gnu::visibility("default")]] const char* npufa_sim_profile_spans(int profile, int kernel,
                                                                   unsigned long long max_spans) {
  return Guarded<const char*>(nullptr, [&] {
    Profiler& profiler = TheProfiler();
    std::lock_guard lock(profiler.mutex);
    return Answer(
        OneKernel(Find(profiler, profile), kernel, [&](auto&... parts) { return TimelineSpans(parts..., max_spans); }));
  });
}

[[gnu::visibility("default")]] void npufa_sim_profile_free(int profile) {
  Profiler& profiler = TheProfiler();
  std::lock_guard lock(profiler.mutex);
  profiler.done.erase(profile);
}

[[gnu::visibility("default")]] const char* npufa_sim_profile_error() { return error.c_str(); }

[[gnu::visibility("default")]] const char* npufa_sim_chips() { return Answer(ChipFacts()); }

}  // extern "C"
