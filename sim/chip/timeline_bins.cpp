#include "timeline_bins.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cost.h"
#include "json.h"

namespace npufa_sim {
namespace {

// Adds the part of [start, end) that lies in each bin, in bins.
void Spread(std::vector<double>& bins, double start, double end, double weight) {
  const auto last = static_cast<double>(bins.size());
  for (double at = start; at < std::min(end, last);) {
    const double edge = std::min(std::floor(at) + 1, end);
    bins[static_cast<std::size_t>(at)] += (edge - at) * weight;
    at = edge;
  }
}

std::string Percents(const std::vector<double>& shares) {
  JsonList list('[', ']');
  for (const double share : shares) list.Add(std::to_string(std::lround(100 * std::min(share, 1.0))));
  return list.Text();
}

std::string Row(const CoreTrace& core, Pipe pipe, const std::vector<double>& busy) {
  return JsonList('{', '}')
      .Member("kind", JsonString(core.kind == CoreKind::kCube ? "cube" : "vector"))
      .Member("group", core.group)
      .Member("index", core.index)
      .Member("pipe", JsonString(NameOf(pipe)))
      .Member("busy", Percents(busy))
      .Text();
}

}  // namespace

std::string BandwidthBins(const std::vector<double>& shares, double bucket_cycles, double cycles, int bins) {
  const double buckets_per_bin = std::max(cycles, 1.0) / bins / bucket_cycles;
  std::vector<double> out(bins);
  for (std::size_t b = 0; b < shares.size(); ++b) {
    Spread(out, static_cast<double>(b) / buckets_per_bin, static_cast<double>(b + 1) / buckets_per_bin, shares[b]);
  }
  return Percents(out);
}

std::string TimelineBins(const Trace& trace, const Timeline& timeline, const TimeReport& report, int bins) {
  const double cycles_per_bin = std::max(report.cycles, 1.0) / bins;
  JsonList rows('[', ']');
  for (std::size_t c = 0; c < trace.cores.size(); ++c) {
    std::vector<std::vector<double>> busy(kPipes, std::vector<double>(bins));
    for (std::size_t i = 0; i < trace.cores[c].records.size(); ++i) {
      const Record& r = trace.cores[c].records[i];
      const Span& span = timeline.cores[c][i];
      if (!IsOrder(r.op)) {
        Spread(busy[static_cast<int>(r.pipe)], span.start / cycles_per_bin, span.end / cycles_per_bin, 1.0);
      }
    }
    for (int p = 1; p < kPipes; ++p) {
      if (report.cores[c].pipes[p].instructions > 0) rows.Add(Row(trace.cores[c], static_cast<Pipe>(p), busy[p]));
    }
  }
  return JsonList('{', '}')
      .Member("us", report.Microseconds())
      .Member("bins", bins)
      .Member("hbm", BandwidthBins(timeline.hbm, timeline.bucket_cycles, report.cycles, bins))
      .Member("l2", BandwidthBins(timeline.l2, timeline.bucket_cycles, report.cycles, bins))
      .Member("rows", rows.Text())
      .Text();
}

}  // namespace npufa_sim
