// The instructions of a launch as rows of spans, for pages that people zoom into.
#pragma once

#include <cstdint>
#include <string>

#include "record.h"
#include "replay.h"
#include "time_report.h"

namespace npufa_sim {

// JSON: {"cycles", "clock_mhz", "instructions" (instructions and waits shown), "hbm" and "l2" (percent per bin),
// "fine_group", "fine_cycles", "coarse_cycles", "sites": [[instruction, file, line]],
// "rows": [{kind, group, index, pipe, spans}]}.
//
// spans is "gap length site;gap length site count busy;...", in cycles: the gap before it, how long it is, the
// statement (~site for a wait). With more than max_spans instructions, neighbours of one pipe are joined while they stay
// within coarse_cycles (fine_cycles in the group that finishes last); nothing is left out. Such a span also has the
// number of its instructions and the percentage of it in which the pipe was busy; its statement is the one that took
// most of it.
std::string TimelineSpans(const Trace& trace, const Timeline& timeline, const TimeReport& report,
                          std::uint64_t max_spans);

}  // namespace npufa_sim
