#include "core_replay.h"

#include <algorithm>
#include <stdexcept>

#include "gm_bursts.h"

namespace npufa_sim {
namespace {

constexpr double kNotSet = -1;

}  // namespace

ChipReplay::ChipReplay(const ChipDescription& description, const Trace& trace)
    : chip(description), model(description.model), hbm(chip.BytesPerCycle(model.hbm_bandwidth * model.hbm_efficiency)),
      l2(chip.BytesPerCycle(model.l2_bandwidth)), cache(chip.l2_bytes, static_cast<std::uint64_t>(model.l2_line)),
      events(trace.cross_events) {
  for (const CoreTrace& core : trace.cores)
    for (const Record& r : core.records)
      if (r.op == OpClass::kCrossSet) ++events.at(r.event).missing;
}

CoreReplay::CoreReplay(ChipReplay& chip, const CoreTrace& trace, int index, std::vector<Span>* spans)
    : chip_(chip), model_(chip.model), trace_(trace), index_(index), spans_(spans),
      sites_(trace.sites.size() * kPipes) {
  report_.kind = trace.kind;
  report_.group = trace.group;
  report_.index = trace.index;
  const auto depth = static_cast<std::size_t>(model_.queue_depth);
  for (PipeState& pipe : pipes_) pipe.starts.assign(std::max<std::size_t>(depth, 1), 0.0);
  if (spans_) spans_->resize(trace.records.size());
}

CoreReplay::State CoreReplay::Run(double limit) {
  for (; position_ < trace_.records.size(); ++position_) {
    const Record& r = trace_.records[position_];
    next_ = now_;
    if (!chip_.woken.empty()) return State::kReady;
    if (r.op == OpClass::kCrossWait && chip_.events.at(r.event).missing > 0) {
      chip_.events[r.event].waiting.push_back(index_);
      return State::kBlocked;
    }
    if (IsGmTransfer(r.op)) {
      next_ = std::max(IssueTime(StateOf(r.pipe), IssueCycles(model_, r)), StateOf(r.pipe).free);
      if (next_ > limit) return State::kReady;
    }
    Execute(r);
  }
  return State::kDone;
}

CoreReport CoreReplay::Finish() {
  UseOf(Pipe::kS).last = now_;
  for (const PipeUse& use : report_.pipes) report_.finish = std::max(report_.finish, use.last);
  return report_;
}

double CoreReplay::IssueTime(const PipeState& pipe, double cycles) const {
  return std::max(now_, pipe.starts[pipe.oldest]) + cycles;
}

// Hands an instruction to a pipe; returns when the pipe takes it.
double CoreReplay::Issue(Pipe pipe, double cycles) {
  PipeUse& scalar = UseOf(Pipe::kS);
  ++scalar.instructions;
  scalar.busy += cycles;
  if (pipe == Pipe::kS) return now_ += cycles;
  PipeState& state = StateOf(pipe);
  const double issued = IssueTime(state, cycles);
  scalar.issue += issued - cycles - now_;
  now_ = issued;
  if (const double gap = issued - state.free; gap > 0) {
    const double cross = std::min(gap, cross_total_ - state.cross_seen);
    UseOf(pipe).cross += cross;
    UseOf(pipe).issue += gap - cross;
    state.free = issued;
  }
  state.cross_seen = cross_total_;
  state.starts[state.oldest] = state.free;
  state.oldest = state.oldest + 1 == state.starts.size() ? 0 : state.oldest + 1;
  return state.free;
}

void CoreReplay::WaitUntil(Pipe pipe, double time, double PipeUse::* reason) {
  double& free = Free(pipe);
  if (time <= free) return;
  UseOf(pipe).*reason += time - free;
  free = time;
}

double CoreReplay::Drained(Pipe pipe) const {
  const PipeState& state = pipes_[static_cast<int>(pipe)];
  return pipe == Pipe::kS ? now_ : std::max(state.free, state.complete);
}

void CoreReplay::Execute(const Record& r) {
  const double start = Issue(r.op == OpClass::kCrossWait ? Pipe::kS : r.pipe, IssueCycles(model_, r));
  if (IsOrder(r.op)) Order(r);
  else Data(r);
  if (spans_) (*spans_)[position_] = {start, Free(r.op == OpClass::kCrossWait ? Pipe::kS : r.pipe)};
}

double& CoreReplay::FlagTime(std::uint32_t event) {
  if (event >= flags_.size()) flags_.resize(std::max<std::size_t>(event + 1, 2 * flags_.size()), kNotSet);
  return flags_[event];
}

void CoreReplay::Order(const Record& r) {
  switch (r.op) {
    case OpClass::kSetFlag: FlagTime(r.event) = Drained(r.pipe) + model_.flag_latency; return;
    case OpClass::kWaitFlag:
      if (FlagTime(r.event) < 0) {
        throw std::invalid_argument("trace waits for flag instance " + std::to_string(r.event) + " before it is set");
      }
      return WaitUntil(r.pipe, FlagTime(r.event), &PipeUse::flag);
    case OpClass::kBarrier: return r.a == 1 ? BarrierAll() : WaitUntil(r.pipe, Drained(r.pipe), &PipeUse::barrier);
    case OpClass::kCrossSet: return CrossSet(r);
    default: return CrossWait(r);
  }
}

void CoreReplay::BarrierAll() {
  double end = now_;
  for (int p = 0; p < kPipes; ++p) end = std::max(end, Drained(static_cast<Pipe>(p)));
  WaitUntil(Pipe::kS, end, &PipeUse::barrier);
}

void CoreReplay::CrossSet(const Record& r) {
  CrossEvent& event = chip_.events[r.event];
  event.time = std::max(event.time, Drained(r.pipe));
  if (--event.missing > 0) return;
  chip_.woken.insert(chip_.woken.end(), event.waiting.begin(), event.waiting.end());
  event.waiting.clear();
}

void CoreReplay::CrossWait(const Record& r) {
  const double before = now_;
  WaitUntil(Pipe::kS, chip_.events[r.event].time + model_.cross_latency, &PipeUse::cross);
  cross_total_ += now_ - before;
}

void CoreReplay::Data(const Record& r) {
  InstructionCost cost = CostOf(model_, r);
  double& free = Free(r.pipe);
  PipeUse& use = UseOf(r.pipe);
  const double stall = IsGmTransfer(r.op) ? Transfer(r, free, cost) : 0;
  free += cost.busy + stall;
  use.busy += cost.busy;
  use.bandwidth += stall;
  if (r.pipe != Pipe::kS) {
    ++use.instructions;
    double& complete = StateOf(r.pipe).complete;
    complete = std::max(complete, free + cost.latency);
    use.last = complete;
  }
  SiteUse& site = sites_.at(r.site * kPipes + static_cast<int>(r.pipe));
  ++site.count;
  site.cycles += cost.busy + stall;
  Count(r);
}

// Cycles that sharing L2 and HBM adds to a transfer.
double CoreReplay::Transfer(const Record& r, double start, InstructionCost& cost) {
  const bool read = ReadsGm(r.op), past_l2 = r.manner == Manner::kPastL2;
  const auto line = r.gm_address / static_cast<std::uint64_t>(model_.l2_line);
  const bool shared = read && chip_.reads.Read(line, index_, start, model_.shared_read_window);
  if (shared && !past_l2) cost.busy = model_.gm_start + (cost.busy - model_.gm_start) * model_.shared_read;
  const double begin = start + model_.gm_start, cycles = cost.busy - model_.gm_start;
  const double port = PortBytes(model_, r) * LineWaste(model_, r), memory = FromHbm(r, shared, cost);
  const double end = std::max(chip_.l2.Move(begin, port, cycles), chip_.hbm.Move(begin, memory, cycles));
  TimeReport& total = chip_.report;
  (read ? total.gm_read_bytes : total.gm_written_bytes) += r.a;
  total.l2_bytes += port;
  total.hbm_busy += memory / chip_.hbm.bytes_per_cycle();
  return std::max(0.0, end - (begin + cycles));
}

// Bytes of HBM time that a transfer takes, counted as if they were read in whole lines.
double CoreReplay::FromHbm(const Record& r, bool shared, InstructionCost& cost) {
  const bool read = ReadsGm(r.op);
  TimeReport& total = chip_.report;
  if (r.manner == Manner::kPastL2) {
    (read ? total.hbm_read_bytes : total.hbm_written_bytes) += r.a;
    if (read) cost.latency += model_.hbm_latency;
    const double least = r.b * (shared ? model_.hbm_access_shared : model_.hbm_access);
    const double bytes = std::max(PortBytes(model_, r), least) * LineWaste(model_, r);
    return read ? bytes : bytes * model_.hbm_write;
  }
  const L2Lines lines = chip_.cache.Access(r.gm_address, r.b, r.c, r.event, !read);
  const double missed = lines.missed * model_.l2_line, written_back = lines.written_back * model_.l2_line;
  if (lines.missed > 0) cost.latency += model_.hbm_latency;
  total.hbm_read_bytes += missed;
  total.hbm_written_bytes += written_back;
  if (read) {
    total.l2_lines += lines.touched;
    total.l2_missed += lines.missed;
  }
  const double bytes = missed * LineWaste(model_, r) + written_back * model_.hbm_write;
  return bytes + model_.hbm_short * std::min(bytes, model_.hbm_short_bytes);
}

void CoreReplay::Count(const Record& r) {
  if (IsVector(r.op)) chip_.report.vector_elements += r.b;
  if (r.op != OpClass::kMmad) return;
  const double flop = FlopOf(r);
  chip_.report.cube_flop += flop;
  chip_.report.cube_peak_cycles += flop / (2.0 * 16 * 16 * CubeDepth(model_, static_cast<MmadType>(r.dtype)));
}

}  // namespace npufa_sim
