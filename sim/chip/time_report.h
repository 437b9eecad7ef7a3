// What the time model says about one kernel. Cycles are cycles of the chip's clock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "description.h"
#include "types.h"

namespace npufa_sim {

// Where the time of one pipe went, in cycles. What is missing to the kernel's end is time after its last instruction.
struct PipeUse {
  std::uint64_t instructions = 0;  // without flags and barriers; of the scalar unit: all it issued
  double busy = 0;                 // executing at its own rate
  double bandwidth = 0;            // more time for transfers because HBM or L2 were shared
  double flag = 0;                 // WaitFlag
  double cross = 0;                // the scalar unit stood in a CrossCoreWaitFlag and issued nothing
  double barrier = 0;              // PipeBarrier
  double issue = 0;                // no instruction issued yet; of the scalar unit: stopped at a full queue
  double last = 0;                 // end of the last instruction
};

struct CoreReport {
  CoreKind kind = CoreKind::kCube;
  int group = 0, index = 0;
  double finish = 0;
  PipeUse pipes[kPipes];
};

struct HotSite {
  std::string instruction, file;
  int line = 0;
  CoreKind kind = CoreKind::kCube;
  Pipe pipe = Pipe::kS;
  std::uint64_t count = 0;
  double cycles = 0;  // on its pipe, all cores together, bandwidth included
};

struct TimeReport {
  std::string kernel, chip;
  std::uint32_t block_dim = 0;
  int aic_count = 0, aiv_count = 0;
  double clock_mhz = 0, launch_us = 0;
  double cycles = 0;
  double cube_flop = 0, cube_peak_cycles = 0;  // what Mmad did; core cycles it would take at peak rate
  double cube_peak_flops = 0;                  // of the chip, fp16
  double vector_elements = 0;
  double gm_read_bytes = 0, gm_written_bytes = 0;
  double l2_bytes = 0, l2_bandwidth = 0;  // through the ports, granules included; bytes per second
  double hbm_read_bytes = 0, hbm_written_bytes = 0, hbm_bandwidth = 0;
  double hbm_busy = 0;                        // cycles that all of them take at the rate HBM reaches
  std::uint64_t l2_lines = 0, l2_missed = 0;  // lines read; of them from HBM
  std::uint64_t records = 0;
  std::vector<CoreReport> cores;
  std::vector<HotSite> hot;  // most expensive first

  double Microseconds() const { return cycles / clock_mhz; }
};

inline constexpr std::size_t kHotSites = 20;

// The resource with the largest share of the kernel's time: a pipe of the busiest core of its kind, HBM or L2.
struct Bound {
  std::string resource;
  double share = 0;
};
Bound BoundOf(const TimeReport& report);

std::string ToJson(const TimeReport& report);

}  // namespace npufa_sim
