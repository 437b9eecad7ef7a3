#include "perfetto.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <memory>
#include <set>
#include <stdexcept>

#include "cost.h"
#include "gm_bursts.h"
#include "json.h"
#include "shown_records.h"

namespace npufa_sim {
namespace {

constexpr int kChipProcess = 0;
constexpr std::size_t kCounterPoints = 2000;

std::string Microseconds(double us) {
  char text[48];
  const auto [end, error] = std::to_chars(text, text + sizeof text, us, std::chars_format::fixed, 4);
  return {text, end};
}

int ProcessOf(const CoreTrace& core) {
  return 1 + core.group * 3 + (core.kind == CoreKind::kCube ? 0 : 1 + core.index);
}

std::string NameOf(const CoreTrace& core) {
  const std::string group = "group " + std::to_string(core.group);
  return core.kind == CoreKind::kCube ? group + " cube" : group + " vector " + std::to_string(core.index);
}

std::string Sizes(const Record& r) {
  if (r.op == OpClass::kMmad) {
    return "m " + std::to_string(r.a) + ", n " + std::to_string(r.b) + ", k " + std::to_string(r.c);
  }
  if (IsGmTransfer(r.op)) {
    return std::to_string(r.a) + " bytes in " + std::to_string(r.b) + " bursts of " + std::to_string(r.c);
  }
  if (IsVector(r.op)) return std::to_string(r.b) + " elements in " + std::to_string(r.a) + " repeats";
  return IsOrder(r.op) ? "" : std::to_string(r.a);
}

class Writer {
 public:
  explicit Writer(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "w"), std::fclose) {
    if (!file_) throw std::runtime_error("cannot write " + path);
  }

  void Head(const std::string& note) {
    JsonList about('{', '}');
    about.Member("source", JsonString("npufa simulator, modelled, not measured")).Member("note", JsonString(note));
    Put("{\"displayTimeUnit\":\"ns\",\"otherData\":" + about.Text() + ",\"traceEvents\":[\n");
  }

  void Event(const JsonList& event) {
    if (!first_) Put(",\n");
    first_ = false;
    Put(event.Text());
  }

  void Name(const char* what, int process, int thread, const std::string& name, int order) {
    JsonList event('{', '}');
    event.Member("ph", JsonString("M")).Member("pid", process).Member("tid", thread);
    JsonList named = event, sorted = event;
    const std::string kind = what;
    Event(named.Member("name", JsonString(kind + "_name"))
              .Member("args", JsonList('{', '}').Member("name", JsonString(name)).Text()));
    Event(sorted.Member("name", JsonString(kind + "_sort_index"))
              .Member("args", JsonList('{', '}').Member("sort_index", order).Text()));
  }

  void Slice(int process, int thread, const std::string& name, const char* category, double us, double duration,
             const std::string& args) {
    Event(JsonList('{', '}')
              .Member("ph", JsonString("X"))
              .Member("pid", process)
              .Member("tid", thread)
              .Member("name", JsonString(name))
              .Member("cat", JsonString(category))
              .Member("ts", Microseconds(us))
              .Member("dur", Microseconds(duration))
              .Member("args", args));
  }

  void Counter(const std::string& name, double us, double percent) {
    Event(JsonList('{', '}')
              .Member("ph", JsonString("C"))
              .Member("pid", kChipProcess)
              .Member("name", JsonString(name))
              .Member("ts", Microseconds(us))
              .Member("args", JsonList('{', '}').Member("%", Microseconds(percent)).Text()));
  }

  void Close() {
    Put("\n]}\n");
    if (std::fclose(file_.release()) != 0 || failed_) throw std::runtime_error("cannot write " + path_);
  }

 private:
  void Put(const std::string& text) { failed_ |= std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size(); }

  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  bool first_ = true, failed_ = false;
};

// Start of each kernel on the common axis.
std::vector<double> Offsets(const std::vector<TracedKernel>& kernels) {
  std::vector<double> offsets;
  double us = 0;
  for (const TracedKernel& kernel : kernels) {
    offsets.push_back(us);
    us += kernel.report->Microseconds();
  }
  return offsets;
}

template <class Visit>
void ForEachShown(const std::vector<TracedKernel>& kernels, Visit visit) {
  const std::vector<double> offsets = Offsets(kernels);
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    const double clock = kernels[k].report->clock_mhz;
    for (std::size_t c = 0; c < kernels[k].trace->cores.size(); ++c) {
      const CoreTrace& core = kernels[k].trace->cores[c];
      for (std::size_t i = 0; i < core.records.size(); ++i) {
        const Span& span = kernels[k].timeline->cores[c][i];
        if (!IsShown(core.records[i], span)) continue;
        visit(core, core.records[i], offsets[k] + span.start / clock, (span.end - span.start) / clock);
      }
    }
  }
}

struct Cut {
  std::uint64_t events = 0;
  double until = std::numeric_limits<double>::infinity();
  std::string note;
};

Cut CutAfter(const std::vector<TracedKernel>& kernels, std::uint64_t max_events) {
  std::vector<double> starts;
  ForEachShown(kernels, [&](const CoreTrace&, const Record&, double us, double) { starts.push_back(us); });
  Cut cut{starts.size(), std::numeric_limits<double>::infinity(), "complete"};
  if (starts.size() <= max_events) return cut;
  std::nth_element(starts.begin(), starts.begin() + static_cast<std::ptrdiff_t>(max_events), starts.end());
  cut.until = starts[max_events];
  cut.note = "cut: the first " + std::to_string(max_events) + " of " + std::to_string(cut.events) +
             " events, those that start before " + Microseconds(cut.until) + " us";
  return cut;
}

void WriteNames(Writer& writer, const std::vector<TracedKernel>& kernels) {
  writer.Name("process", kChipProcess, 0, "chip", kChipProcess);
  std::set<std::pair<int, int>> named;
  for (const TracedKernel& kernel : kernels) {
    for (std::size_t c = 0; c < kernel.trace->cores.size(); ++c) {
      const CoreTrace& core = kernel.trace->cores[c];
      const int process = ProcessOf(core);
      if (named.emplace(process, -1).second) writer.Name("process", process, 0, NameOf(core), process);
      for (int p = 0; p < kPipes; ++p) {
        if (kernel.report->cores[c].pipes[p].instructions == 0 || !named.emplace(process, p).second) continue;
        writer.Name("thread", process, p, npufa_sim::NameOf(static_cast<Pipe>(p)), p);
      }
    }
  }
}

void WriteCounter(Writer& writer, const std::string& name, const std::vector<double>& shares, double offset,
                  double bucket) {
  const std::size_t step = shares.size() / kCounterPoints + 1;
  for (std::size_t i = 0; i < shares.size(); i += step) {
    const std::size_t end = std::min(i + step, shares.size());
    double sum = 0;
    for (std::size_t b = i; b < end; ++b) sum += shares[b];
    writer.Counter(name, offset + static_cast<double>(i) * bucket, 100 * sum / static_cast<double>(end - i));
  }
  writer.Counter(name, offset + static_cast<double>(shares.size()) * bucket, 0);
}

void WriteKernels(Writer& writer, const std::vector<TracedKernel>& kernels) {
  const std::vector<double> offsets = Offsets(kernels);
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    const TimeReport& report = *kernels[k].report;
    writer.Slice(kChipProcess, 0, report.kernel, "kernel", offsets[k], report.Microseconds(),
                 JsonList('{', '}').Member("chip", JsonString(report.chip)).Member("cycles", report.cycles).Text());
    const double bucket = kernels[k].timeline->bucket_cycles / report.clock_mhz;
    WriteCounter(writer, "HBM", kernels[k].timeline->hbm, offsets[k], bucket);
    WriteCounter(writer, "L2", kernels[k].timeline->l2, offsets[k], bucket);
  }
}

}  // namespace

void WritePerfetto(const std::vector<TracedKernel>& kernels, const std::string& path, std::uint64_t max_events) {
  const Cut cut = CutAfter(kernels, max_events);
  Writer writer(path);
  writer.Head(cut.note);
  WriteNames(writer, kernels);
  WriteKernels(writer, kernels);
  if (cut.until < std::numeric_limits<double>::infinity()) {
    writer.Slice(kChipProcess, 0, "trace ends here: " + cut.note, "note", cut.until, 0, "{}");
  }
  ForEachShown(kernels, [&](const CoreTrace& core, const Record& r, double us, double duration) {
    if (us >= cut.until) return;
    const TraceSite& site = core.sites.at(r.site);
    JsonList args('{', '}');
    args.Member("at", JsonString(site.file + ":" + std::to_string(site.line)));
    if (const std::string sizes = Sizes(r); !sizes.empty()) args.Member("size", JsonString(sizes));
    const char* category = IsOrder(r.op) ? "wait" : "instruction";
    writer.Slice(ProcessOf(core), static_cast<int>(ShownOn(r)), site.instruction, category, us, duration, args.Text());
  });
  writer.Close();
}

}  // namespace npufa_sim
