// What the host tells the kernel of npu_kv_rmsnorm_rope_cache about one call. Plain data, shared by op_host and
// op_kernel.
#pragma once

#include "paged_rows_tiling.h"

namespace npufa {

constexpr uint32_t RMSNORM_FLOATS = 4096;  // of a tile
constexpr uint32_t RMSNORM_ROWS = 8;

struct KvRmsnormRopeTiling {
  uint64_t tokens;
  uint64_t sequenceTokens;
  uint32_t split;        // 0 or 1: values have rows of their own, and keys are normalised before they turn
  uint32_t normColumns;  // of kv that are normalised
  uint32_t ropeColumns;  // that turn
  uint32_t keyColumns;   // of a row of k_cache and ckv_cache
  uint32_t valueColumns;
  uint32_t tileRows;
  uint32_t hasOutputs;  // 0 or 1
  float epsilon;
  // Where a token goes: an index for each, or one for each block of a sequence; in form Norm within its sequence.
  uint32_t indexPerBlock;    // 0 or 1
  uint32_t indexInSequence;  // 0 or 1
  int64_t slots;             // that an index may lead to
  int64_t blockSize;
  PagedRowsTiling rope;
  PagedRowsTiling norm;
};

}  // namespace npufa
