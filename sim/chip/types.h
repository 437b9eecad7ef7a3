// The vocabulary of the modelled chip: memories, pipes, and where in a kernel an instruction stands.
#pragma once

#include <cstddef>
#include <cstdint>

namespace npufa_sim {

// Memories of an AI Core. UB belongs to vector cores, L1 and L0 to cube cores, GM (with L2 in front) to everybody.
enum class Space : std::uint8_t { kGM, kUB, kL1, kL0A, kL0B, kL0C, kBT, kFB };
inline constexpr int kSpaces = 8;

// In-order instruction queues of a core. S is the scalar unit that issues to the others.
enum class Pipe : std::uint8_t { kS, kV, kM, kMTE1, kMTE2, kMTE3, kFIX };
inline constexpr int kPipes = 7;

enum class CoreKind : std::uint8_t { kCube, kVector };

inline const char* NameOf(Space space) {
  constexpr const char* names[kSpaces] = {"GM", "UB", "L1", "L0A", "L0B", "L0C", "BT", "FB"};
  return names[static_cast<int>(space)];
}

inline const char* NameOf(Pipe pipe) {
  constexpr const char* names[kPipes] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"};
  return names[static_cast<int>(pipe)];
}

// Source position of the kernel statement that issued an instruction. API functions take one as a last, defaulted
// parameter, so that kernels written for the real headers report their own file and line.
struct Site {
  const char* file = "";
  int line = 0;

  static constexpr Site Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

// `rows` x `blocks` blocks of `bytes` bytes; strides in bytes between block starts. Offset counts from the tensor's start.
struct Extent {
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
  std::int64_t blocks = 1, block_stride = 0;
  std::int64_t rows = 1, row_stride = 0;
};

// One tensor as the simulator sees it: an address and the buffer it may not leave. Local addresses count from the start
// of the memory; GM addresses are host pointers.
struct TensorRef {
  const char* name = "";  // operand name in the documentation of the instruction: dst, src0, ...
  Space space = Space::kGM;
  std::uint64_t address = 0;
  std::uint64_t begin = 0, end = 0;  // of the buffer the tensor was taken from
  bool past_l2 = false;              // GM: its transfers leave nothing in L2
  bool declared = false;             // begin and end are what the kernel says of memory that it manages itself
};

}  // namespace npufa_sim
