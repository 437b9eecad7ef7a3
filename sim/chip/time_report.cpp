#include "time_report.h"

#include <algorithm>

#include "json.h"

namespace npufa_sim {
namespace {

const char* NameOf(CoreKind kind) { return kind == CoreKind::kCube ? "cube" : "vector"; }

std::string ToJson(const PipeUse& use) {
  return JsonList('{', '}')
      .Member("instructions", static_cast<double>(use.instructions))
      .Member("busy", use.busy)
      .Member("bandwidth", use.bandwidth)
      .Member("flag", use.flag)
      .Member("cross", use.cross)
      .Member("barrier", use.barrier)
      .Member("issue", use.issue)
      .Member("last", use.last)
      .Text();
}

std::string ToJson(const CoreReport& core) {
  JsonList pipes('{', '}');
  for (int p = 0; p < kPipes; ++p) {
    if (core.pipes[p].instructions > 0) pipes.Member(npufa_sim::NameOf(static_cast<Pipe>(p)), ToJson(core.pipes[p]));
  }
  return JsonList('{', '}')
      .Member("kind", JsonString(NameOf(core.kind)))
      .Member("group", core.group)
      .Member("index", core.index)
      .Member("finish", core.finish)
      .Member("pipes", pipes.Text())
      .Text();
}

std::string ToJson(const HotSite& site) {
  return JsonList('{', '}')
      .Member("instruction", JsonString(site.instruction))
      .Member("file", JsonString(site.file))
      .Member("line", site.line)
      .Member("kind", JsonString(NameOf(site.kind)))
      .Member("pipe", JsonString(npufa_sim::NameOf(site.pipe)))
      .Member("count", static_cast<double>(site.count))
      .Member("cycles", site.cycles)
      .Text();
}

template <class T>
std::string ArrayOf(const std::vector<T>& values) {
  JsonList list('[', ']');
  for (const T& value : values) list.Add(ToJson(value));
  return list.Text();
}

}  // namespace

Bound BoundOf(const TimeReport& report) {
  Bound bound;
  if (report.cycles <= 0) return bound;
  const auto consider = [&](const std::string& resource, double share) {
    if (share > bound.share) bound = {resource, share};
  };
  for (const CoreReport& core : report.cores)
    for (int p = 0; p < kPipes; ++p) {
      consider(std::string(NameOf(core.kind)) + " " + npufa_sim::NameOf(static_cast<Pipe>(p)),
               core.pipes[p].busy / report.cycles);
    }
  const double seconds = report.Microseconds() * 1e-6;
  consider("HBM", report.hbm_busy / report.cycles);
  consider("L2", report.l2_bytes / (report.l2_bandwidth * seconds));
  return bound;
}

std::string ToJson(const TimeReport& r) {
  const Bound bound = BoundOf(r);
  return JsonList('{', '}')
      .Member("kernel", JsonString(r.kernel))
      .Member("chip", JsonString(r.chip))
      .Member("block_dim", r.block_dim)
      .Member("aic_count", r.aic_count)
      .Member("aiv_count", r.aiv_count)
      .Member("clock_mhz", r.clock_mhz)
      .Member("launch_us", r.launch_us)
      .Member("cycles", r.cycles)
      .Member("us", r.Microseconds())
      .Member("cube_flop", r.cube_flop)
      .Member("cube_peak_cycles", r.cube_peak_cycles)
      .Member("cube_peak_flops", r.cube_peak_flops)
      .Member("vector_elements", r.vector_elements)
      .Member("gm_read_bytes", r.gm_read_bytes)
      .Member("gm_written_bytes", r.gm_written_bytes)
      .Member("l2_bytes", r.l2_bytes)
      .Member("l2_bandwidth", r.l2_bandwidth)
      .Member("l2_lines", static_cast<double>(r.l2_lines))
      .Member("l2_missed", static_cast<double>(r.l2_missed))
      .Member("hbm_read_bytes", r.hbm_read_bytes)
      .Member("hbm_written_bytes", r.hbm_written_bytes)
      .Member("hbm_bandwidth", r.hbm_bandwidth)
      .Member("records", static_cast<double>(r.records))
      .Member("bound", JsonString(bound.resource))
      .Member("bound_share", bound.share)
      .Member("cores", ArrayOf(r.cores))
      .Member("hot", ArrayOf(r.hot))
      .Text();
}

}  // namespace npufa_sim
