// Kernels launched while somebody profiles: what the launch code hands over, and what Python asks for.
#pragma once

#include "description.h"
#include "launch.h"

namespace npufa_sim {

// Launch code records traces while this holds, and hands each result over.
bool Profiling();
// Takes the trace of a kernel that has come to its end, and the findings of any. Does nothing without a profile. Throws
// std::invalid_argument for a trace that cannot be replayed.
void KeepLaunch(const ChipDescription& chip, const std::string& kernel, LaunchResult&& result);

}  // namespace npufa_sim

// Functions that return a pointer or an int report failure as nullptr or -1 and leave the reason in
// npufa_sim_profile_error(). Returned text is valid until the same thread's next call.
extern "C" {
// Starts a profile; `parameters` are changes of the time model as "name=value,name=value" or empty. One at a time.
int npufa_sim_profile_begin(const char* parameters);
// Ends it: {"profile": id, "kernels": [...], "findings": [...]}. Its traces stay until npufa_sim_profile_free(id).
const char* npufa_sim_profile_end();
// Perfetto JSON of all kernels of a profile.
int npufa_sim_profile_trace(int profile, const char* path, unsigned long long max_events);
// Picture data of one kernel of a profile.
const char* npufa_sim_profile_timeline(int profile, int kernel, int bins);
// Its instructions, see TimelineSpans.
const char* npufa_sim_profile_spans(int profile, int kernel, unsigned long long max_spans);
void npufa_sim_profile_free(int profile);
const char* npufa_sim_profile_error();
// {name: {fact: value}} of all chips.
const char* npufa_sim_chips();
}
