// What the host tells the kernels that merge partial attentions. Plain data, shared by op_host and op_kernel.
#pragma once

#include <cstdint>

namespace npufa {

// Rows that are merged at once, columns of them, and floats of a tile.
constexpr uint32_t MERGE_ROWS = 64;
constexpr uint32_t MERGE_COLUMNS = 512;
constexpr uint32_t MERGE_FLOATS = 8192;
constexpr uint32_t MERGE_PARTS = 128;

struct AttentionUpdateTiling {
  uint64_t rows;
  uint32_t columns;
  uint32_t parts;
  uint32_t tileRows;
  uint32_t hasLse;  // 0 or 1
};

// Rows are (sequence, head, token) in the statistics. In the outputs a head's tokens are outputPitch elements apart.
struct RingUpdateTiling {
  uint64_t sequences;
  uint64_t tokens;  // of a sequence; of all of them where lengths are given
  uint64_t heads;
  uint64_t outputPitch;     // elements from token to token
  uint64_t sequenceOutput;  // elements from sequence to sequence; with lengths from token to token
  uint32_t columns;
  uint32_t tileRows;
  uint32_t hasLengths;  // 0 or 1: sequences are the ends of packed ones
};

}  // namespace npufa
