// What the host tells the forward kernels about one call. Plain data, shared by op_host and op_kernel.
#pragma once

#include <cstdint>

namespace npufa {

constexpr uint32_t MAX_CORE_GROUPS = 32;
constexpr uint32_t CUBE_BLOCK = 128;   // rows, columns and depth of one L0 tile
constexpr uint32_t PIPELINE_SLOTS = 3;  // steps whose scores, probabilities or products are alive at once

// Where element (batch, head, token, 0) of a tensor lies, in elements.
struct TensorStrides {
  uint64_t batch;
  uint64_t head;
  uint64_t token;
};

// How lengths per sequence are given.
enum LengthSource : uint32_t {
  LENGTH_FULL = 0,   // none: every sequence has all tokens
  LENGTH_COMMON = 1,  // one value for all sequences
  LENGTH_EACH = 2,   // one value per sequence
};

// How a row of the bias is found.
enum BiasRows : uint32_t {
  BIAS_ROW_EACH = 0,        // row i
  BIAS_ROW_COMMON = 1,      // one row for all
  BIAS_ROW_COMPRESSED = 2,  // the last 1024 rows of a bias that depends on j - i alone
};

struct ForwardTiling {
  uint32_t batch;
  uint32_t heads;
  uint32_t groupSize;  // query heads per key/value head
  uint32_t qTokens;
  uint32_t kvTokens;
  uint32_t headDim;
  uint32_t valueDim;
  uint32_t tileRows;   // query rows of a work item: both vector cores together
  uint32_t stepColumns;  // keys per pipeline step
  uint32_t qLengths;   // LengthSource
  uint32_t kvLengths;
  // Row i keeps keys [i + beginShift, i + endShift]; a shift may count from the bottom right corner.
  uint32_t beginFollowsCorner;
  uint32_t endFollowsCorner;
  uint32_t biasRows;  // BiasRows
  float scale;
  uint32_t productPitch;  // floats between rows of products
  int64_t beginShift;
  int64_t endShift;
  TensorStrides query;
  TensorStrides key;
  TensorStrides value;
  TensorStrides output;
  TensorStrides mask;  // token: row pitch
  TensorStrides bias;
  // Global memory of a core group: PIPELINE_SLOTS tiles each of scores (float), probabilities (input type) and products
  // (float), one kind after the other.
  uint64_t scoreBytes;
  uint64_t probabilityBytes;
  uint64_t productBytes;
  // Core group c works on tiles [firstTile[c], firstTile[c + 1]); tile = (batch * heads + head) * tilesPerHead + tile in head.
  uint64_t firstTile[MAX_CORE_GROUPS + 1];
};

// Tiling keys: one decimal digit per choice.
constexpr uint64_t KEY_BFLOAT16 = 1;
constexpr uint64_t KEY_MASK = 10;
constexpr uint64_t KEY_BIAS = 100;

}  // namespace npufa
