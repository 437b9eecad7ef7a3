// What the host tells the forward kernels about one call. Plain data, shared by op_host and op_kernel.
#pragma once

#include "sequence_tiling.h"

namespace npufa {

constexpr uint32_t PIPELINE_SLOTS = 3;              // steps whose scores, probabilities or products are alive at once
constexpr uint32_t KEY_SLOTS = PIPELINE_SLOTS + 1;  // steps whose converted keys and values are
constexpr uint32_t SPLIT_KEYS = 128;                // tiles are cut between core groups at multiples of this
constexpr uint32_t PIECE_ROWS = 4;                  // query rows of sequences whose tiles are cut into pieces
constexpr uint32_t DIGITS = 3;           // int8 digits of a number, where keys and values are multiplied as stored
constexpr uint32_t STATISTIC_WIDTH = 8;  // floats per softmax statistic: one 32-byte block

// Capping works on a part of a tile of scores at a time, and needs scratch memory of some parts.
constexpr uint32_t SOFTCAP_PARTS = 8;
constexpr uint32_t SOFTCAP_SCRATCH_PARTS = 3;

enum BiasKind : uint32_t {
  BIAS_NONE = 0,
  BIAS_MATRIX = 1,       // a value per pair
  BIAS_COMPRESSED = 2,   // the last 1024 rows of a bias that depends on j - i alone
  BIAS_LINEAR = 3,       // -slope |j - i|
  BIAS_SQUARE_ROOT = 4,  // -slope sqrt(|j - i|)
};

enum ScaleKind : uint32_t {
  SCALE_NONE = 0,
  SCALE_ONE = 1,  // one value per head or for all
  SCALE_PER_CHANNEL = 2,
  SCALE_PER_TOKEN = 3,
};

enum Float8Format : uint32_t {
  FLOAT8_NONE = 0,
  FLOAT8_E4M3 = 1,
  FLOAT8_E5M2 = 2,
};

// value = (stored + offset) * scale. Strides in elements.
struct AntiquantTiling {
  uint32_t kind;  // ScaleKind
  uint32_t hasOffset;
  uint32_t paged;  // batch is the stride of a block, token that of a token within it
  uint32_t reserved;
  uint64_t first;  // element of the tensors at which the values for this operand begin
  TensorStrides strides;
};

struct OutputScaleTiling {
  uint32_t kind;  // ScaleKind: none, one for all or per channel of the heads
  uint32_t hasOffset;
};

// Row sequences of a padded or packed tensor, or of a paged cache: batch is the stride of a block then, token that of a
// token within it.
struct RowsTiling {
  TensorStrides rows;
  TensorStrides prefix;  // batch 1
  uint64_t columnPitch;  // NZ: from 32 bytes of a row to its next 32; 0 where its channels lie together
};

// Where a core group's work begins: at a block of SPLIT_KEYS keys of a tile of a sequence.
struct WorkStart {
  uint32_t sequence;
  uint32_t tile;
  uint32_t keyBlock;
};

struct ForwardTiling {
  SequenceTiling sequences;
  uint32_t headDim;
  uint32_t valueDim;
  uint32_t ropeDim;
  uint32_t tileRows;     // query rows of a work item: both vector cores together
  uint32_t tileHeads;    // most heads that are rows of one tile: of a group, or of two that share lines of memory
  uint32_t slotRows;     // rows of scores and products: of every digit of the tile's rows
  uint32_t stepColumns;  // keys per pipeline step
  uint32_t chunkFloats;  // scores that a vector core processes at once
  uint32_t hasMask;
  uint32_t biasKind;     // BiasKind
  uint32_t biasScaled;   // the scale multiplies the bias, too
  uint32_t biasFromEnd;  // generated biases: the last row of a sequence lies at its last key
  uint32_t hasDropout;
  uint32_t hasSink;
  uint32_t hasSoftcap;
  uint32_t hasStatistics;
  uint32_t statisticsByToken;  // packed: (T, N) instead of (N, tokens) per sequence
  uint32_t hasLse;
  uint32_t int8Products;   // int8 query, key and value
  uint32_t hasQueryScale;  // one for each of their rows; else int8 probabilities, too
  uint32_t float8;         // Float8Format of keys and values
  uint32_t blockSize;      // of a paged cache, 0 without
  uint32_t tableStride;    // entries of the block table per sequence
  float scale;
  float softcap;
  float inverseSoftcap;
  float keepScale;       // 1 / keep_prob
  int64_t biasDistance;  // generated biases count positions j + distance - i
  TensorStrides query;
  TensorStrides queryScale;
  TensorStrides queryRope;
  RowsTiling key;
  RowsTiling keyRope;
  RowsTiling value;
  TensorStrides output;
  TensorStrides lse;
  TensorStrides mask;
  TensorStrides bias;  // slopes: batch and head only
  AntiquantTiling keyAntiquant;
  AntiquantTiling valueAntiquant;
  OutputScaleTiling outputScale;
  // Global memory of a core group, one kind after the other: PIPELINE_SLOTS tiles each of scores (float), probabilities
  // (arithmetic type) and products (float); converted queries, keys and values (KEY_SLOTS steps); parts of cut tiles
  // (float sums, then a maximum and a sum per row) in front of all that.
  uint32_t productPitch;  // floats between rows of products
  uint32_t keyPitch;      // elements between converted rows
  uint32_t valuePitch;
  uint32_t cores;  // core groups with work
  uint64_t scoreBytes;
  uint64_t probabilityBytes;
  uint64_t productBytes;
  uint64_t queryBytes;
  uint64_t keyBytes;
  uint64_t valueBytes;
  uint64_t partBytes;  // of one part
  uint32_t parts;      // two for each core group, or one for each piece
  uint32_t partRows;
  // Batch-invariant: tiles are not cut, but those of sequences of up to PIECE_ROWS rows into pieces of so many blocks of
  // SPLIT_KEYS keys (0: none), whoever works on them; of a tile at most mostPieces.
  uint32_t batchInvariant;
  uint32_t pieceBlocks;
  uint32_t mostPieces;
  // Core group c works from start[c] up to start[c + 1].
  WorkStart start[MAX_CORE_GROUPS + 1];
};

// Tiling keys: a decimal digit for the type of the arithmetic, and one for how keys and values are stored.
constexpr uint64_t KEY_HALF = 0;
constexpr uint64_t KEY_BFLOAT16 = 1;
constexpr uint64_t KEY_FLOAT = 2;
constexpr uint64_t KEY_INT8_STORED = 10;  // or float8
constexpr uint64_t KEY_INT4_STORED = 20;
constexpr uint64_t KEY_INT8_DIGITS = 30;    // int8 keys and values multiplied as they are stored
constexpr uint64_t KEY_FLOAT8_STORED = 40;  // float8 keys and values multiplied as halves without their scales

}  // namespace npufa
