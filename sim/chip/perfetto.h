// Chrome trace JSON of replayed kernels, as Perfetto (ui.perfetto.dev) and chrome://tracing open it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "record.h"
#include "replay.h"
#include "time_report.h"

namespace npufa_sim {

struct TracedKernel {
  const Trace* trace;
  const Timeline* timeline;
  const TimeReport* report;
};

// One process per core, one thread per pipe, times in microseconds, kernels one after the other. Of more than
// max_events events only the earliest are written, and the file says so. Throws std::runtime_error when the file cannot
// be written.
void WritePerfetto(const std::vector<TracedKernel>& kernels, const std::string& path, std::uint64_t max_events);

}  // namespace npufa_sim
