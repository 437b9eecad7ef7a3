// What the host tells the backward kernel about one call. Plain data, shared by op_host and op_kernel.
#pragma once

#include "forward_tiling.h"

namespace npufa {

constexpr uint32_t BACKWARD_SLOTS = 3;        // steps whose scores are alive at once
constexpr uint32_t BACKWARD_STEP_ROWS = 256;  // query rows of a step
constexpr uint32_t MAX_KEY_BLOCK = 512;       // keys of a unit of work
constexpr uint32_t NO_COPY = 0xffffffff;
// Probabilities are multiplied by this until values' gradients are complete: those of long rows would not be normal
// numbers in half.
constexpr float PROBABILITY_SCALE = 4096.0f;

// A unit of work: a block of keys of one key/value head of one sequence, against all query rows of the head's group.
// Units are ordered by sequence, head and block.
struct BackwardStart {
  uint32_t sequence;
  uint32_t kvHead;
  uint32_t block;
};

// Query gradients of a core group that continues a head which another group began: they are added up in the end.
struct QueryCopy {
  uint32_t firstHead;   // of the query heads it holds
  uint32_t batch;       // packed: 0
  uint32_t firstToken;  // stored position
  uint32_t tokens;
  uint64_t offset;  // floats from the beginning of the copies
};

struct BackwardTiling {
  ForwardTiling forward;  // how scores come about
  uint32_t keyBlock;      // keys of a unit
  uint32_t ropeColumn;    // of gradients of queries and keys
  uint32_t queryPitch;    // floats between rows of gradients of queries and keys
  uint32_t valuePitch;    // of values
  uint32_t cores;         // core groups with work
  uint32_t copies;
  // Floats of the accumulated gradients, which lie one behind the other at the beginning of the workspace.
  uint64_t queryFloats;
  uint64_t keyFloats;
  uint64_t valueFloats;
  uint64_t copyFloats;
  uint64_t statisticFloats;  // each of three statistics per query row
  uint64_t scoreBytes;       // of a core group
  // The bias' gradient: elements; sums of each vector core for what several steps feed; parts, one per sequence, where
  // sequences share a bias (0: stored at once), and bytes of all of them.
  uint64_t biasElements;
  uint64_t biasSumFloats;
  uint64_t biasParts;
  uint64_t biasPartBytes;
  uint32_t copyOf[MAX_CORE_GROUPS];  // index of the copy of a group, or NO_COPY
  QueryCopy copy[MAX_CORE_GROUPS];
  BackwardStart start[MAX_CORE_GROUPS + 1];  // group c works on units from start[c] up to start[c + 1]
};

}  // namespace npufa
