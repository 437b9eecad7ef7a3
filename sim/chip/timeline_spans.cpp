#include "timeline_spans.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "cost.h"
#include "json.h"
#include "shown_records.h"
#include "timeline_bins.h"

namespace npufa_sim {
namespace {

constexpr int kBandwidthBins = 400;

// One instruction, or neighbours on a pipe.
struct Block {
  double start = 0, end = 0, busy = 0;
  std::uint64_t count = 0;
  std::vector<std::pair<std::int64_t, double>> statements;  // site, or ~site of a wait, and its cycles

  void Add(const Record& r, const Span& span) {
    const double cycles = span.end - span.start;
    if (count++ == 0) start = span.start;
    end = span.end;
    if (!IsOrder(r.op)) busy += cycles;
    const std::int64_t statement = IsOrder(r.op) ? ~static_cast<std::int64_t>(r.site) : r.site;
    for (auto& [known, sum] : statements) {
      if (known == statement) {
        sum += cycles;
        return;
      }
    }
    statements.emplace_back(statement, cycles);
  }

  std::int64_t Longest() const {
    const auto shorter = [](const auto& left, const auto& right) { return left.second < right.second; };
    return std::max_element(statements.begin(), statements.end(), shorter)->first;
  }
};

template <class Visit>
void ForEachBlock(const CoreTrace& core, const std::vector<Span>& spans, double limit, Visit visit) {
  Block open[kPipes];
  for (std::size_t i = 0; i < core.records.size(); ++i) {
    if (!IsShown(core.records[i], spans[i])) continue;
    const Pipe pipe = ShownOn(core.records[i]);
    Block& block = open[static_cast<int>(pipe)];
    if (block.count > 0 && spans[i].end - block.start > limit) {
      visit(pipe, block);
      block = {};
    }
    block.Add(core.records[i], spans[i]);
  }
  for (int p = 0; p < kPipes; ++p) {
    if (open[p].count > 0) visit(static_cast<Pipe>(p), open[p]);
  }
}

// Some cores of a launch, drawn with one limit.
struct Part {
  std::vector<std::size_t> cores;
  double limit = 0;
  std::uint64_t blocks = 0;

  void Fit(const Trace& trace, const Timeline& timeline, double cycles, std::uint64_t max_blocks) {
    for (;; limit = std::max(1.0, 2 * limit)) {
      blocks = 0;
      for (const std::size_t c : cores) {
        ForEachBlock(trace.cores[c], timeline.cores[c], limit, [&](Pipe, const Block&) { ++blocks; });
      }
      if (blocks <= max_blocks || limit > cycles) return;
    }
  }
};

class SiteNumbers {
 public:
  std::int64_t Of(const TraceSite& site) {
    const auto [found, is_new] = numbers_.try_emplace({site.instruction, site.file, site.line}, numbers_.size());
    if (is_new) {
      list_.Add(JsonList('[', ']')
                    .Add(JsonString(site.instruction))
                    .Add(JsonString(site.file))
                    .Add(std::to_string(site.line))
                    .Text());
    }
    return static_cast<std::int64_t>(found->second);
  }
  std::string Text() const { return list_.Text(); }

 private:
  std::map<std::tuple<std::string, std::string, int>, std::size_t> numbers_;
  JsonList list_{'[', ']'};
};

class RowText {
 public:
  void Add(const Block& block, std::int64_t statement) {
    const std::int64_t start = std::llround(block.start), length = std::llround(block.end) - start;
    if (!text_.empty()) text_ += ';';
    text_ += std::to_string(start - end_) + ' ' + std::to_string(length) + ' ' + std::to_string(statement);
    if (block.count > 1) {
      const double percent = 100 * block.busy / (block.end - block.start);
      text_ += ' ' + std::to_string(block.count) + ' ' + std::to_string(std::lround(percent));
    }
    end_ = start + length;
  }
  const std::string& Text() const { return text_; }

 private:
  std::string text_;
  std::int64_t end_ = 0;
};

void AddRows(JsonList& rows, const CoreTrace& core, const std::vector<Span>& spans, double limit, SiteNumbers& sites) {
  RowText texts[kPipes];
  ForEachBlock(core, spans, limit, [&](Pipe pipe, const Block& block) {
    const std::int64_t longest = block.Longest();
    const std::int64_t number = sites.Of(core.sites.at(longest < 0 ? ~longest : longest));
    texts[static_cast<int>(pipe)].Add(block, longest < 0 ? ~number : number);
  });
  for (int p = 0; p < kPipes; ++p) {
    if (texts[p].Text().empty()) continue;
    rows.Add(JsonList('{', '}')
                 .Member("kind", JsonString(core.kind == CoreKind::kCube ? "cube" : "vector"))
                 .Member("group", core.group)
                 .Member("index", core.index)
                 .Member("pipe", JsonString(NameOf(static_cast<Pipe>(p))))
                 .Member("spans", JsonString(texts[p].Text()))
                 .Text());
  }
}

std::uint64_t CountShown(const Trace& trace, const Timeline& timeline) {
  std::uint64_t count = 0;
  for (std::size_t c = 0; c < trace.cores.size(); ++c) {
    for (std::size_t i = 0; i < trace.cores[c].records.size(); ++i) {
      count += IsShown(trace.cores[c].records[i], timeline.cores[c][i]);
    }
  }
  return count;
}

int LastGroup(const TimeReport& report) {
  const auto earlier = [](const CoreReport& left, const CoreReport& right) { return left.finish < right.finish; };
  const auto last = std::max_element(report.cores.begin(), report.cores.end(), earlier);
  return last == report.cores.end() ? 0 : last->group;
}

}  // namespace

std::string TimelineSpans(const Trace& trace, const Timeline& timeline, const TimeReport& report,
                          std::uint64_t max_spans) {
  const int fine_group = LastGroup(report);
  Part fine, coarse;
  for (std::size_t c = 0; c < trace.cores.size(); ++c) {
    (trace.cores[c].group == fine_group ? fine : coarse).cores.push_back(c);
  }
  coarse.Fit(trace, timeline, report.cycles, max_spans / 2);
  fine.Fit(trace, timeline, report.cycles, max_spans - std::min(max_spans, coarse.blocks));
  coarse.limit = 0;
  coarse.Fit(trace, timeline, report.cycles, max_spans - std::min(max_spans, fine.blocks));

  SiteNumbers sites;
  JsonList rows('[', ']');
  for (std::size_t c = 0; c < trace.cores.size(); ++c) {
    const double limit = trace.cores[c].group == fine_group ? fine.limit : coarse.limit;
    AddRows(rows, trace.cores[c], timeline.cores[c], limit, sites);
  }
  const auto bandwidth = [&](const std::vector<double>& shares) {
    return BandwidthBins(shares, timeline.bucket_cycles, report.cycles, kBandwidthBins);
  };
  return JsonList('{', '}')
      .Member("cycles", report.cycles)
      .Member("clock_mhz", report.clock_mhz)
      .Member("instructions", static_cast<double>(CountShown(trace, timeline)))
      .Member("hbm", bandwidth(timeline.hbm))
      .Member("l2", bandwidth(timeline.l2))
      .Member("fine_group", fine_group)
      .Member("fine_cycles", fine.limit)
      .Member("coarse_cycles", coarse.limit)
      .Member("sites", sites.Text())
      .Member("rows", rows.Text())
      .Text();
}

}  // namespace npufa_sim
