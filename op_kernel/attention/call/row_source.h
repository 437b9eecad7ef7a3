// Key or value rows of a sequence wherever they are stored: padded, packed, behind a shared prefix, in a paged cache.
#pragma once

#include "../../tiling/forward_tiling.h"
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
    table_ = table;
    for (uint32_t slot = 0; slot < KEPT; ++slot) entries_[slot] = NO_ENTRY;
  }
  __aicore__ inline bool IsPaged() const { return blockSize_ > 0; }
  __aicore__ inline uint32_t BlockSize() const { return blockSize_; }

  // The block of a token. Reading the table is slow: values ask for the entries of the keys some steps before.
  __aicore__ inline uint64_t Block(uint32_t sequence, uint32_t token) {
    const uint32_t column = token / blockSize_;
    const uint64_t entry = static_cast<uint64_t>(sequence) * stride_ + column;
    if (entries_[entry % KEPT] != entry) Read(entry, column);
    return blocks_[entry % KEPT];
  }

 private:
  static constexpr uint64_t NO_ENTRY = ~static_cast<uint64_t>(0);
  static constexpr uint32_t KEPT = 256;

  // Two entries in one access, where they share eight bytes and both are of this row.
  __aicore__ inline void Read(uint64_t entry, uint32_t column) {
    const uint64_t address = reinterpret_cast<uint64_t>(table_) + entry * sizeof(int32_t);
    if (address % sizeof(uint64_t) != 0 || column + 1 == stride_) {
      AscendC::GlobalTensor<uint32_t> one;
      one.SetGlobalBuffer(reinterpret_cast<__gm__ uint32_t*>(address));
      return Keep(entry, one.GetValue(0));
    }
    AscendC::GlobalTensor<uint64_t> two;
    two.SetGlobalBuffer(reinterpret_cast<__gm__ uint64_t*>(address));
    const uint64_t blocks = two.GetValue(0);
    Keep(entry, static_cast<uint32_t>(blocks));
    Keep(entry + 1, static_cast<uint32_t>(blocks >> 32));
  }
  __aicore__ inline void Keep(uint64_t entry, uint32_t block) {
    entries_[entry % KEPT] = entry;
    blocks_[entry % KEPT] = block;
  }

  GM_ADDR table_;
  uint32_t blockSize_;
  uint32_t stride_;
  uint64_t entries_[KEPT];
  uint32_t blocks_[KEPT];
};

// Whether converted keys serve as values, too: one latent cache is both.
__aicore__ inline bool OneConversion(const ForwardTiling& tiling, GM_ADDR key, GM_ADDR value) {
  return tiling.hasQueryScale && key == value && tiling.headDim == tiling.valueDim;
}

class RowSource {
 public:
  // `table`: shared by all rows of a step.
  __aicore__ inline void Init(const ForwardTiling& tiling, const RowsTiling& rows, BlockTable& table) {
    tiling_ = &tiling;
    rows_ = &rows;
    table_ = &table;
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
    if (!table_->IsPaged()) {
      return {sequence.batch * strides.batch + head * strides.head + (sequence.kvFirst + token) * strides.token,
              strides.token, count, false};
    }
    const uint32_t inBlock = token % table_->BlockSize();
    return {table_->Block(sequence.index, token) * strides.batch + head * strides.head + inBlock * strides.token,
            strides.token, Min(count, table_->BlockSize() - inBlock), false};
  }

 private:
  const ForwardTiling* tiling_;
  const RowsTiling* rows_;
  BlockTable* table_;
};

}  // namespace npufa
