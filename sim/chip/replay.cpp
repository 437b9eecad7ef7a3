#include "replay.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <queue>
#include <stdexcept>
#include <string>
#include <tuple>

#include "core_replay.h"

namespace npufa_sim {
namespace {

using Cores = std::vector<std::unique_ptr<CoreReplay>>;

// Runs the core whose next transfer starts first, so that shared bandwidth is handed out in order of time.
void RunAll(ChipReplay& chip, Cores& cores) {
  using Turn = std::pair<double, int>;
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
  for (int i = 0; i < static_cast<int>(cores.size()); ++i) turns.push({0.0, i});
  while (!turns.empty()) {
    const int i = turns.top().second;
    turns.pop();
    const double limit = turns.empty() ? std::numeric_limits<double>::infinity() : turns.top().first;
    if (cores[i]->Run(limit) == CoreReplay::State::kReady) turns.push({cores[i]->next(), i});
    for (const int woken : chip.woken) turns.push({cores[woken]->next(), woken});
    chip.woken.clear();
  }
}

void RequireNobodyWaits(const ChipReplay& chip, const Trace& trace, const Cores& cores) {
  for (const CrossEvent& event : chip.events) {
    if (event.waiting.empty()) continue;
    const CoreReplay& core = *cores[event.waiting.front()];
    const TraceSite& site = core.trace().sites.at(core.current().site);
    throw std::invalid_argument("trace of " + trace.kernel + ": " + site.file + ":" + std::to_string(site.line) +
                                " waits for " + std::to_string(event.missing) + " CrossCoreSetFlag that never run");
  }
}

// The same statement of several cores is one, by kind of core and pipe.
std::vector<HotSite> HotSites(const Cores& cores) {
  std::map<std::tuple<std::string, int, std::string, CoreKind, int>, HotSite> merged;
  for (const auto& core : cores) {
    const CoreKind kind = core->trace().kind;
    for (std::size_t s = 0; s < core->trace().sites.size(); ++s) {
      const TraceSite& site = core->trace().sites[s];
      for (int pipe = 0; pipe < kPipes; ++pipe) {
        const CoreReplay::SiteUse& use = core->site(s, pipe);
        if (use.count == 0) continue;
        HotSite& hot = merged[{site.file, site.line, site.instruction, kind, pipe}];
        hot = {site.instruction,       site.file, site.line, kind, static_cast<Pipe>(pipe), hot.count + use.count,
               hot.cycles + use.cycles};
      }
    }
  }
  std::vector<HotSite> sites;
  for (auto& [key, hot] : merged) sites.push_back(std::move(hot));
  std::stable_sort(sites.begin(), sites.end(), [](const HotSite& a, const HotSite& b) { return a.cycles > b.cycles; });
  if (sites.size() > kHotSites) sites.resize(kHotSites);
  return sites;
}

TimeReport Report(ChipReplay& chip, const Trace& trace, const Cores& cores) {
  TimeReport report = chip.report;
  report.kernel = trace.kernel;
  report.chip = chip.chip.name;
  report.block_dim = trace.block_dim;
  report.aic_count = chip.chip.aic_count;
  report.aiv_count = chip.chip.aiv_count;
  report.clock_mhz = chip.chip.clock_mhz;
  report.launch_us = chip.model.launch;
  report.cube_peak_flops = chip.chip.CubePeak(MmadType::kHalf);
  report.l2_bandwidth = chip.model.l2_bandwidth;
  report.hbm_bandwidth = chip.model.hbm_bandwidth;
  for (const auto& core : cores) {
    report.cores.push_back(core->Finish());
    report.cycles = std::max(report.cycles, report.cores.back().finish);
    report.records += core->trace().records.size();
  }
  report.hot = HotSites(cores);
  return report;
}

std::vector<double> Shares(const SharedBandwidth& bandwidth) {
  std::vector<double> shares = bandwidth.used();
  while (!shares.empty() && shares.back() == 0) shares.pop_back();
  for (double& share : shares) share /= bandwidth.bucket_capacity();
  return shares;
}

}  // namespace

TimeReport Replay(const ChipDescription& description, const Trace& trace, Timeline* timeline) {
  ChipReplay chip(description, trace);
  if (timeline) timeline->cores.assign(trace.cores.size(), {});
  Cores cores;
  for (std::size_t i = 0; i < trace.cores.size(); ++i) {
    cores.push_back(std::make_unique<CoreReplay>(chip, trace.cores[i], static_cast<int>(i),
                                                 timeline ? &timeline->cores[i] : nullptr));
  }
  RunAll(chip, cores);
  RequireNobodyWaits(chip, trace, cores);
  if (timeline) {
    timeline->bucket_cycles = SharedBandwidth::kBucketCycles;
    timeline->hbm = Shares(chip.hbm);
    timeline->l2 = Shares(chip.l2);
  }
  return Report(chip, trace, cores);
}

}  // namespace npufa_sim
