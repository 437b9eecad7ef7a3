// Which records traces and pictures show, and on which pipe.
#pragma once

#include "cost.h"
#include "record.h"
#include "replay.h"

namespace npufa_sim {

// It is the scalar unit that stands in a wait for other cores.
inline Pipe ShownOn(const Record& r) { return r.op == OpClass::kCrossWait ? Pipe::kS : r.pipe; }

// Flags that are set take no time; waits show when they took some.
inline bool IsShown(const Record& r, const Span& span) {
  if (r.op == OpClass::kSetFlag || r.op == OpClass::kCrossSet) return false;
  return span.end - span.start >= (IsOrder(r.op) ? 1.0 : 0.01);
}

}  // namespace npufa_sim
