// Published figures of one chip (sim/chip/chips.json, compiled in) and the parameters of the time model.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "record.h"
#include "types.h"

namespace npufa_sim {

// Cycles of a vector instruction: start + repeats * (cycles per repeat of its element size) + elements / elements.
struct VectorCost {
  double start = 0;
  double half = 0, single = 0;  // per repeat, elements of up to 2 bytes and of 4 bytes
  double elements = 0;          // per cycle, for instructions that run element by element; 0: none
};

inline constexpr int kFirstVectorOp = static_cast<int>(OpClass::kVecAdd);
inline constexpr int kVectorOps = static_cast<int>(OpClass::kVecCopy) - kFirstVectorOp + 1;

// Meaning, unit and source of each parameter stand in chips.json under the same name.
struct TimeModel {
  double mmad_start = 0, mmad_k_half = 0, mmad_k_int8 = 0, mmad_k_int4 = 0, mmad_k_float = 0, mmad_k_hf32 = 0;
  double l1_to_l0a = 0, l1_to_l0b = 0, l0_start = 0, l0_fill = 0;
  double l1_to_table = 0, table_start = 0, l0c_to_l1 = 0, l0c_to_l1_start = 0;
  double gm_to_l1 = 0, gm_to_ub = 0, ub_to_gm = 0, l1_to_gm = 0, l0c_to_gm = 0, fixpipe = 0;
  double gm_start = 0, gm_burst = 0, gm_burst_past_l2 = 0, gm_granule = 0, gm_unaligned = 0;
  double l2_read_latency = 0, l2_write_latency = 0, hbm_latency = 0, l2_line = 0;
  double hbm_bandwidth = 0, hbm_efficiency = 0, hbm_write = 0, hbm_access = 0, hbm_access_shared = 0;
  double hbm_short = 0, hbm_short_bytes = 0;
  double l2_bandwidth = 0;
  double shared_read = 0, shared_read_window = 0, ub_read_write = 0;
  double issue = 0, mask_issue = 0, counter_issue = 0, queue_issue = 0, flag_issue = 0;
  double flag_latency = 0, cross_latency = 0, scalar_access = 0, queue_depth = 0;
  double launch = 0;
  VectorCost vector[kVectorOps];
};

inline constexpr std::uint32_t kSystemBytes = 256;

struct ChipDescription {
  std::string name;               // Ascend910B3
  std::string short_soc_version;  // Ascend910B, Ascend910_93
  int aic_count = 0, aiv_count = 0;
  double clock_mhz = 0;
  std::uint64_t hbm_bytes = 0, l2_bytes = 0;
  std::uint32_t space_bytes[kSpaces] = {};  // of each local memory; 0 for GM
  // What tiling is told of UB and L1: the system keeps the last bytes, though kernels without its libraries may use them.
  std::uint32_t ForTiling(Space space) const { return space_bytes[static_cast<int>(space)] - kSystemBytes; }
  std::map<std::string, double> facts;  // every published number by its path: "bytes_per_cycle.l2_read_rate"
  TimeModel model;

  // Floating-point operations the cube cores of the chip can do in a second.
  double CubePeak(MmadType type) const;
  double BytesPerCycle(double bytes_per_second) const { return bytes_per_second / (clock_mhz * 1e6); }
};

// nullptr when the name is unknown.
const ChipDescription* FindChip(const std::string& name);
std::vector<std::string> ChipNames();

// k elements the cube takes per cycle for each 16 x 16 of the result.
double CubeDepth(const TimeModel& model, MmadType type);

// Names as in chips.json; those of vector instructions as "vector.exp.float". Throws std::invalid_argument naming the
// parameter when it is unknown or the value cannot be one.
void SetParameter(TimeModel& model, const std::string& name, double value);
double GetParameter(const TimeModel& model, const std::string& name);

}  // namespace npufa_sim
