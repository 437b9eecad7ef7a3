#include "cost.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "bank_conflicts.h"
#include "gm_bursts.h"

namespace npufa_sim {
namespace {

double Mmad(const TimeModel& model, const Record& r) {
  const double depth = CubeDepth(model, static_cast<MmadType>(r.dtype));
  return model.mmad_start + std::ceil(r.a / 16.0) * std::ceil(r.b / 16.0) * std::ceil(r.c / depth);
}

InstructionCost Vector(const TimeModel& model, const Record& r) {
  const VectorCost& cost = model.vector[static_cast<int>(r.op) - kFirstVectorOp];
  const BankUse banks = BankUse::Unpack(r.event);
  const double memory = banks.cycles + banks.read_write * (model.ub_read_write - 1);
  double busy = r.a * (r.c <= 2 ? cost.half : cost.single);
  if (cost.elements > 0) busy += r.b / cost.elements;
  return {std::max(busy, memory), cost.start};
}

double PortRate(const TimeModel& model, OpClass op) {
  switch (op) {
    case OpClass::kGmToUb: return model.gm_to_ub;
    case OpClass::kGmToL1: return model.gm_to_l1;
    case OpClass::kUbToGm: return model.ub_to_gm;
    case OpClass::kL1ToGm: return model.l1_to_gm;
    default: return model.l0c_to_gm;
  }
}

double ElementBytes(const Record& r) { return r.dtype > 0 ? r.dtype : 4; }

// The documentation's 512, 256 or 128 bytes, whichever a burst fills.
std::uint64_t NaturalAlignment(const TimeModel& model, std::uint32_t burst) {
  const auto line = static_cast<std::uint64_t>(model.l2_line), granule = static_cast<std::uint64_t>(model.gm_granule);
  std::uint64_t alignment = line;
  while (alignment > granule && burst < alignment) alignment /= 2;
  return alignment;
}

InstructionCost Transfer(const TimeModel& model, const Record& r) {
  const std::uint64_t alignment = NaturalAlignment(model, r.c);
  const bool aligned = r.gm_address % alignment == 0 && (r.b <= 1 || r.event % alignment == 0);
  const double burst = r.manner == Manner::kPastL2 ? model.gm_burst_past_l2 : model.gm_burst;
  double cycles = PortBytes(model, r) / (PortRate(model, r.op) * (aligned ? 1.0 : model.gm_unaligned));
  cycles = std::max(cycles, r.b * burst);
  if (r.op == OpClass::kL0cToGm) cycles = std::max(cycles, r.a / ElementBytes(r) / model.fixpipe);
  return {model.gm_start + cycles, ReadsGm(r.op) ? model.l2_read_latency : model.l2_write_latency};
}

}  // namespace

bool IsOrder(OpClass op) { return op >= OpClass::kSetFlag; }
bool IsVector(OpClass op) { return op >= OpClass::kVecAdd && op <= OpClass::kVecCopy; }
bool ReadsGm(OpClass op) { return op == OpClass::kGmToUb || op == OpClass::kGmToL1; }

double FlopOf(const Record& r) { return 2.0 * r.a * r.b * r.c; }

double PortBytes(const TimeModel& model, const Record& r) {
  return r.b * std::ceil(r.c / model.gm_granule) * model.gm_granule;
}

double LineWaste(const TimeModel& model, const Record& r) {
  constexpr std::uint64_t kBlock = 32;
  const bool whole_blocks = r.gm_address % kBlock == 0 && (r.b <= 1 || r.event % kBlock == 0);
  return whole_blocks ? 1 : 1 + std::min(1.0, model.l2_line / r.c);
}

double IssueCycles(const TimeModel& model, const Record& r) {
  if (IsOrder(r.op)) return model.flag_issue + (r.manner == Manner::kQueued ? model.queue_issue : 0);
  if (r.pipe == Pipe::kS) return 0;
  if (r.manner == Manner::kMasked) return model.issue + model.mask_issue;
  if (r.manner == Manner::kCounted) return model.issue + model.counter_issue;
  return model.issue;
}

InstructionCost CostOf(const TimeModel& model, const Record& r) {
  if (IsVector(r.op)) return Vector(model, r);
  if (IsGmTransfer(r.op)) return Transfer(model, r);
  switch (r.op) {
    case OpClass::kScalar: return {r.a * model.scalar_access + (r.gm_address ? model.l2_read_latency : 0), 0};
    case OpClass::kMmad: return {Mmad(model, r), 0};
    case OpClass::kLoadL0A: return {model.l0_start + r.a / model.l1_to_l0a, 0};
    case OpClass::kLoadL0B: return {model.l0_start + r.a / model.l1_to_l0b, 0};
    case OpClass::kFillL0: return {model.l0_start + r.a / model.l0_fill, 0};
    case OpClass::kLoadTable: return {model.table_start + r.a / model.l1_to_table, 0};
    case OpClass::kL0cToL1: return {model.l0c_to_l1_start + r.b / model.l0c_to_l1, 0};
    // There is no path from a vector core to L1 but through memory.
    case OpClass::kUbToL1: return {model.gm_start + r.a / model.ub_to_gm, model.l2_write_latency};
    default: throw std::logic_error("no cost for instruction class " + std::to_string(static_cast<int>(r.op)));
  }
}

}  // namespace npufa_sim
