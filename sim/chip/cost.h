// What one instruction costs on its pipe.
#pragma once

#include "description.h"
#include "record.h"

namespace npufa_sim {

// An instruction takes its pipe for `busy` cycles; its result is there `latency` cycles after that. The next
// instruction of the pipe may start at once, so a latency shows only where somebody waits for the result: a barrier, a
// flag, the end.
struct InstructionCost {
  double busy = 0, latency = 0;
};

// Transfers between GM and a core as if the core were alone and the data in L2.
InstructionCost CostOf(const TimeModel& model, const Record& record);

// Bytes a GM transfer moves through its port: bursts round up to whole granules.
double PortBytes(const TimeModel& model, const Record& record);

// How much more of L2 and HBM a GM transfer takes because its bursts do not start at blocks of 32 bytes: each then costs
// a line more, at most twice its own.
double LineWaste(const TimeModel& model, const Record& record);

// Of the scalar unit, to hand the instruction to its pipe.
double IssueCycles(const TimeModel& model, const Record& record);

bool IsOrder(OpClass op);
bool IsVector(OpClass op);
bool ReadsGm(OpClass op);

// 2 m n k of a kMmad.
double FlopOf(const Record& record);

}  // namespace npufa_sim
