// Key or value rows of a sequence wherever they are stored: padded, packed, behind a shared prefix, in a paged cache.
#pragma once

#include "forward_tiling.h"
#include "sequences.h"

namespace npufa {

// Rows that lie at one distance from each other.
struct RowRun {
  uint64_t offset;  // of the first row, in elements
  uint64_t pitch;
  uint32_t rows;
  bool inPrefix;
};

// Blocks of a paged cache by the tokens they hold.
class BlockTable {
 public:
  __aicore__ inline void Init(const ForwardTiling& tiling, GM_ADDR table) {
    blockSize_ = tiling.blockSize;
    stride_ = tiling.tableStride;
    table_.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(table));
    entry_ = NO_ENTRY;
  }
  __aicore__ inline bool IsPaged() const { return blockSize_ > 0; }
  __aicore__ inline uint32_t BlockSize() const { return blockSize_; }

  // The block of a token. Reading the table is slow: neighbours ask for the same entry.
  __aicore__ inline uint64_t Block(uint32_t sequence, uint32_t token) {
    const uint64_t entry = static_cast<uint64_t>(sequence) * stride_ + token / blockSize_;
    if (entry != entry_) {
      entry_ = entry;
      block_ = static_cast<uint64_t>(table_.GetValue(entry));
    }
    return block_;
  }

 private:
  static constexpr uint64_t NO_ENTRY = ~static_cast<uint64_t>(0);

  AscendC::GlobalTensor<int32_t> table_;
  uint32_t blockSize_;
  uint32_t stride_;
  uint64_t entry_;
  uint64_t block_;
};

// Whether converted keys serve as values, too: one latent cache is both.
__aicore__ inline bool OneConversion(const ForwardTiling& tiling, GM_ADDR key, GM_ADDR value) {
  return tiling.hasQueryScale && key == value && tiling.headDim == tiling.valueDim;
}

class RowSource {
 public:
  __aicore__ inline void Init(const ForwardTiling& tiling, const RowsTiling& rows, GM_ADDR blockTable) {
    tiling_ = &tiling;
    rows_ = &rows;
    table_.Init(tiling, blockTable);
  }

  __aicore__ inline uint64_t ColumnPitch() const { return rows_->columnPitch; }

  // The longest run of at most `count` rows from key `key` of the sequence on.
  __aicore__ inline RowRun Run(const Sequence& sequence, uint32_t head, uint32_t key, uint32_t count) {
    const uint32_t prefixTokens = tiling_->sequences.prefixTokens;
    if (key < prefixTokens) {
      return {head * rows_->prefix.head + key * rows_->prefix.token, rows_->prefix.token,
              Min(count, prefixTokens - key), true};
    }
    const TensorStrides& strides = rows_->rows;
    const uint32_t token = key - prefixTokens;
    if (!table_.IsPaged()) {
      return {sequence.batch * strides.batch + head * strides.head + (sequence.kvFirst + token) * strides.token,
              strides.token, count, false};
    }
    const uint32_t inBlock = token % table_.BlockSize();
    return {table_.Block(sequence.index, token) * strides.batch + head * strides.head + inBlock * strides.token,
            strides.token, Min(count, table_.BlockSize() - inBlock), false};
  }

 private:
  const ForwardTiling* tiling_;
  const RowsTiling* rows_;
  BlockTable table_;
};

}  // namespace npufa
