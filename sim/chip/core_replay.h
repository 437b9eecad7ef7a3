// One core of the time model.
#pragma once

#include <cstdint>
#include <vector>

#include "bandwidth.h"
#include "cost.h"
#include "description.h"
#include "l2_cache.h"
#include "record.h"
#include "replay.h"
#include "shared_reads.h"
#include "time_report.h"

namespace npufa_sim {

struct CrossEvent {
  std::uint32_t missing = 0;  // CrossCoreSetFlags that have not run
  double time = 0;            // of the last one
  std::vector<int> waiting;   // cores
};

// What the cores share.
struct ChipReplay {
  ChipReplay(const ChipDescription& description, const Trace& trace);

  const ChipDescription& chip;
  const TimeModel& model;
  SharedBandwidth hbm, l2;
  L2Cache cache;
  SharedReads reads;
  std::vector<CrossEvent> events;
  std::vector<int> woken;  // cores whose event completed since the scheduler last looked
  TimeReport report;       // totals; cores and sites come last
};

// The scalar unit issues in program order; each pipe executes what it was given in that order. Going through the
// records in program order therefore meets everything within the core after what it depends on.
class CoreReplay {
 public:
  enum class State { kReady, kBlocked, kDone };

  CoreReplay(ChipReplay& chip, const CoreTrace& trace, int index, std::vector<Span>* spans);

  // Goes on until the next transfer would start after `limit`, a cross-core event is incomplete, another core was
  // woken, or the program ends.
  State Run(double limit);
  double next() const { return next_; }  // no transfer starts before
  CoreReport Finish();
  const Record& current() const { return trace_.records[position_]; }
  const CoreTrace& trace() const { return trace_; }

  struct SiteUse {
    std::uint64_t count = 0;
    double cycles = 0;
  };
  const SiteUse& site(std::size_t site, int pipe) const { return sites_[site * kPipes + pipe]; }

 private:
  struct PipeState {
    double free = 0;      // may take the next instruction
    double complete = 0;  // all results are there
    double cross_seen = 0;
    std::vector<double> starts;  // of the last queue_depth instructions
    std::size_t oldest = 0;
  };

  double IssueTime(const PipeState& pipe, double cycles) const;
  double Issue(Pipe pipe, double cycles);
  void WaitUntil(Pipe pipe, double time, double PipeUse::* reason);
  double Drained(Pipe pipe) const;
  void Execute(const Record& r);
  void Order(const Record& r);
  void Data(const Record& r);
  double Transfer(const Record& r, double start, InstructionCost& cost);
  double FromHbm(const Record& r, bool shared, InstructionCost& cost);
  void Count(const Record& r);
  void BarrierAll();
  void CrossSet(const Record& r);
  void CrossWait(const Record& r);
  double& FlagTime(std::uint32_t event);

  double& Free(Pipe pipe) { return pipe == Pipe::kS ? now_ : pipes_[static_cast<int>(pipe)].free; }
  PipeState& StateOf(Pipe pipe) { return pipes_[static_cast<int>(pipe)]; }
  PipeUse& UseOf(Pipe pipe) { return report_.pipes[static_cast<int>(pipe)]; }

  ChipReplay& chip_;
  const TimeModel& model_;
  const CoreTrace& trace_;
  const int index_;
  std::vector<Span>* spans_;
  std::size_t position_ = 0;
  double now_ = 0;          // of the scalar unit
  double cross_total_ = 0;  // cycles the scalar unit stood in CrossCoreWaitFlag
  double next_ = 0;
  PipeState pipes_[kPipes];
  std::vector<double> flags_;  // when each was set; negative: not yet
  CoreReport report_;
  std::vector<SiteUse> sites_;
};

}  // namespace npufa_sim
