// The time model: what the cores of a launch did, replayed on in-order pipes that share L2 and HBM.
#pragma once

#include <vector>

#include "description.h"
#include "record.h"
#include "time_report.h"

namespace npufa_sim {

// Cycles in which an instruction held its pipe, or stood at its head waiting (flags, barriers, cross-core waits).
struct Span {
  double start = 0, end = 0;
};

struct Timeline {
  std::vector<std::vector<Span>> cores;  // as Trace::cores and their records
  double bucket_cycles = 0;
  std::vector<double> hbm, l2;  // share of the bandwidth used, per bucket
};

// Throws std::invalid_argument for a trace that cannot run to its end: a flag waited for before it is set, a cross-core
// event that is never complete.
TimeReport Replay(const ChipDescription& chip, const Trace& trace, Timeline* timeline = nullptr);

}  // namespace npufa_sim
