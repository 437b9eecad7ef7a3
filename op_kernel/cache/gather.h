// Reads the tokens of sequences from paged caches of keys and values and packs them.
#pragma once

#include "../tiling/gather_tiling.h"
#include "row_pipeline.h"

namespace npufa {

// Rows of one block that come to lie together.
struct GatherJob {
  int64_t side;
  RowPiece piece;
  int64_t slot;  // of its first row; NO_BLOCK: zeros
};

// A core has consecutive rows of the result.
class Gather {
 public:
  __aicore__ inline void Run(GM_ADDR keyCache, GM_ADDR valueCache, GM_ADDR tables, GM_ADDR lengths, GM_ADDR key,
                             GM_ADDR value, GM_ADDR offsets, const GatherTiling& tiling) {
    tiling_ = &tiling;
    tables_ = tables;
    lengths_ = lengths;
    offsets_ = offsets;
    side_[0].Init(key, keyCache, tiling.side[0], tiling.blockSize);
    side_[1].Init(value, valueCache, tiling.side[1], tiling.blockSize);
    AscendC::TPipe pipe;
    pipeline_.Init(pipe);
    const int64_t core = AscendC::GetBlockIdx(), cores = AscendC::GetBlockNum();
    const int64_t first = tiling.tokens * core / cores, last = tiling.tokens * (core + 1) / cores;
    int64_t begin = 0;
    for (int64_t sequence = 0; sequence < tiling.sequences && begin < last; ++sequence) {
      const int64_t end = begin + Length(sequence);
      if (end > first) MoveRows(sequence, begin, Max(first, begin), Min(last, end));
      begin = end;
    }
    pipeline_.End(*this);
  }

  __aicore__ inline void Load(const PagedRows::Bytes& buffer, const GatherJob& job) const {
    const int64_t pitch = PagedRows::Pitch(job.piece.bytes);
    if (job.slot == NO_BLOCK) return Clear(buffer, job.piece.rows * pitch);
    for (int64_t row = 0; row < job.piece.rows; ++row) {
      side_[job.side].LoadFromCache(buffer[static_cast<uint32_t>(row * pitch)], job.piece, job.slot + row);
    }
  }

  __aicore__ inline void Store(const PagedRows::Bytes& buffer, const GatherJob& job) const {
    side_[job.side].StoreRows(buffer, job.piece);
  }

 private:
  static constexpr int64_t NO_BLOCK = -1;

  __aicore__ inline static int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
  __aicore__ inline static int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }

  __aicore__ inline static void Clear(const PagedRows::Bytes& buffer, int64_t bytes) {
    AwaitEvent<AscendC::HardEvent::MTE2_V>();
    AscendC::Duplicate(buffer.ReinterpretCast<int16_t>(), static_cast<int16_t>(0),
                       static_cast<int32_t>(bytes / sizeof(int16_t)));
    AwaitEvent<AscendC::HardEvent::V_MTE2>();
  }

  __aicore__ inline int64_t Read(GM_ADDR numbers, int64_t index) const {
    if (tiling_->indexBytes == sizeof(int64_t)) {
      AscendC::GlobalTensor<int64_t> wide;
      wide.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(numbers));
      return wide.GetValue(index);
    }
    AscendC::GlobalTensor<int32_t> narrow;
    narrow.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(numbers));
    return narrow.GetValue(index);
  }

  __aicore__ inline int64_t Length(int64_t sequence) const {
    if (tiling_->cumulative == 0) return Max(0, Read(lengths_, sequence));
    return Max(0, Read(lengths_, sequence + 1) - Read(lengths_, sequence));
  }

  // First slot of a block of a sequence.
  __aicore__ inline int64_t FirstSlot(int64_t sequence, int64_t column) const {
    if (column < 0 || column >= tiling_->tableColumns) return NO_BLOCK;
    const int64_t block = Read(tables_, sequence * tiling_->tableColumns + column);
    return block < 0 || block >= tiling_->blocks ? NO_BLOCK : block * tiling_->blockSize;
  }

  // Rows [row, end) of a sequence whose first row is `begin`.
  __aicore__ inline void MoveRows(int64_t sequence, int64_t begin, int64_t row, int64_t end) {
    const int64_t offset = tiling_->hasOffsets != 0 ? Max(0, Read(offsets_, sequence)) : 0;
    while (row < end) {
      const int64_t position = offset + row - begin, within = position % tiling_->blockSize;
      const int64_t rows = Min(end - row, tiling_->blockSize - within);
      const int64_t slot = FirstSlot(sequence, position / tiling_->blockSize);
      for (int64_t side = 0; side < 2; ++side) MoveBlock(side, row, rows, slot == NO_BLOCK ? NO_BLOCK : slot + within);
      row += rows;
    }
  }

  __aicore__ inline void MoveBlock(int64_t side, int64_t row, int64_t rows, int64_t slot) {
    const PagedRowsTiling& tiling = tiling_->side[side];
    const int64_t atOnce = side_[side].RowsAtOnce();
    for (int64_t done = 0; done < rows; done += atOnce) {
      for (int64_t begin = 0; begin < tiling.rowBytes; begin += tiling.pieceBytes) {
        pipeline_.Move(*this,
                       {side,
                        {row + done, Min(atOnce, rows - done), begin, Min(tiling.pieceBytes, tiling.rowBytes - begin)},
                        slot == NO_BLOCK ? NO_BLOCK : slot + done});
      }
    }
  }

  const GatherTiling* tiling_;
  GM_ADDR tables_;
  GM_ADDR lengths_;
  GM_ADDR offsets_;
  PagedRows side_[2];
  RowPipeline<Gather, GatherJob> pipeline_;
};

}  // namespace npufa
