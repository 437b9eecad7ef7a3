// What one core did, in program order: the input of the time model and of traces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "types.h"

namespace npufa_sim {

// What an instruction costs depends on its class and up to three sizes (meaning beside each class).
enum class OpClass : std::uint8_t {
  kScalar,  // a: scalar loads and stores
  // Vector pipe; a: repeats of up to 256 bytes, b: elements touched in total, c: bytes of the widest element, event: what
  // the banks of UB make of it (BankUse)
  kVecAdd,  // add, sub, max, min, abs, relu, and/or/not, shifts
  kVecMul,
  kVecScalar,  // adds, muls, maxs, mins, axpy, leaky relu
  kVecExp,     // exp, ln, sqrt
  kVecDiv,
  kVecRsqrt,  // rsqrt, reciprocal
  kVecCast,
  kVecCompare,
  kVecSelect,
  kVecDuplicate,  // duplicate, index generation
  kVecBrcb,
  kVecReduceBlock,   // block reductions
  kVecReduceRepeat,  // whole and repeat reductions
  kVecGather,
  kVecGatherMask,
  kVecSort,
  kVecCopy,  // UB to UB copies and transposes
  // Cube core
  kMmad,       // a: m, b: n, c: k (elements)
  kLoadL0A,    // a: bytes
  kLoadL0B,    // a: bytes
  kFillL0,     // constant fill of L1/L0, a: bytes
  kLoadTable,  // L1 to bias/fixpipe table, a: bytes
  // Between GM and a core; a: bytes, b: bursts, c: bytes of one burst, event: bytes between starts of bursts
  kGmToUb,
  kGmToL1,
  kUbToGm,
  kL1ToGm,
  kL0cToGm,
  kL0cToL1,  // a: bytes written, b: elements
  kUbToL1,
  // Order
  kSetFlag,    // event: this core's flag instance
  kWaitFlag,   // event: the instance waited for; pipe: the one that waits
  kBarrier,    // pipe: the one that waits for itself; a = 1: all pipes
  kCrossSet,   // event: index into Trace::events of the launch
  kCrossWait,  // event: likewise
};

// What else the scalar unit had to do for an instruction, or said about it.
enum class Manner : std::uint8_t {
  kPlain,
  kMasked,   // vector: sets the mask register
  kCounted,  // vector: counter mode on and off again
  kQueued,   // flags: of a queue, with its bookkeeping
  kPastL2,   // transfers: the tensor's cache mode is DISABLE
};

struct Record {
  OpClass op = OpClass::kScalar;
  Pipe pipe = Pipe::kS;  // queue that executes it
  Manner manner = Manner::kPlain;
  std::uint8_t dtype = 0;  // kMmad: input type as Dtype; else bytes per element
  std::uint32_t site = 0;  // index into Trace::sites
  std::uint32_t a = 0, b = 0, c = 0;
  std::uint32_t event = 0;
  std::uint64_t gm_address = 0;  // first byte of a GM operand
};

enum class MmadType : std::uint8_t { kHalf, kBfloat16, kFloat32, kInt8, kInt4, kHf32 };

// A name and a position, interned: Records of one statement share one.
struct TraceSite {
  std::string instruction;
  std::string file;
  int line = 0;
};

struct CoreTrace {
  CoreKind kind = CoreKind::kCube;
  int group = 0;  // core group
  int index = 0;  // vector core within the group
  std::vector<Record> records;
  std::vector<TraceSite> sites;
};

struct Trace {
  std::string kernel;
  std::uint32_t block_dim = 0;
  std::vector<CoreTrace> cores;    // in order of group, then cube, vector 0, vector 1
  std::uint32_t cross_events = 0;  // number of cross-core events; one is complete when all its kCrossSet have run
};

}  // namespace npufa_sim
