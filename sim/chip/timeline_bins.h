// A timeline as a picture needs it: how busy each pipe is in equal slices of the kernel's time.
#pragma once

#include <string>
#include <vector>

#include "record.h"
#include "replay.h"
#include "time_report.h"

namespace npufa_sim {

// {"us", "bins": n, "hbm": [..], "l2": [..], "rows": [{"kind", "group", "index", "pipe", "busy": [..]}]}; the lists are
// n percentages.
std::string TimelineBins(const Trace& trace, const Timeline& timeline, const TimeReport& report, int bins);

// Percentages per bin of a Timeline's hbm or l2.
std::string BandwidthBins(const std::vector<double>& shares, double bucket_cycles, double cycles, int bins);

}  // namespace npufa_sim
