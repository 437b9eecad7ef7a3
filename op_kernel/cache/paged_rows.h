// Rows of tokens between a packed tensor, local memory and a paged cache, whatever their type: as bytes.
#pragma once

#include "../tiling/paged_rows_tiling.h"
#include "kernel_operator.h"

namespace npufa {

template <AscendC::HardEvent EVENT>
__aicore__ inline void AwaitEvent() {
  AscendC::SetFlag<EVENT>(EVENT_ID0);
  AscendC::WaitFlag<EVENT>(EVENT_ID0);
}

// A piece of consecutive rows.
struct RowPiece {
  int64_t firstRow;
  int64_t rows;
  int64_t begin;  // in bytes within a row
  int64_t bytes;
};

class PagedRows {
 public:
  using Bytes = AscendC::LocalTensor<int8_t>;

  __aicore__ inline void Init(GM_ADDR rows, GM_ADDR cache, const PagedRowsTiling& tiling, int64_t blockSize) {
    rows_.SetGlobalBuffer(reinterpret_cast<__gm__ int8_t*>(rows));
    cache_.SetGlobalBuffer(reinterpret_cast<__gm__ int8_t*>(cache));
    tiling_ = &tiling;
    blockSize_ = blockSize;
  }

  // Rows that a buffer holds, and bytes from row to row there.
  __aicore__ inline int64_t RowsAtOnce() const { return ROW_BUFFER_BYTES / Pitch(tiling_->pieceBytes); }
  __aicore__ inline static int64_t Pitch(int64_t bytes) { return (bytes + BLOCK - 1) / BLOCK * BLOCK; }

  __aicore__ inline void LoadRows(const Bytes& local, const RowPiece& piece) const {
    const uint32_t gap = static_cast<uint32_t>(tiling_->rowBytes - piece.bytes);
    const AscendC::DataCopyExtParams params(static_cast<uint16_t>(piece.rows), static_cast<uint32_t>(piece.bytes), gap,
                                            0, 0);
    AscendC::DataCopyPad(local, rows_[piece.firstRow * tiling_->rowBytes + piece.begin], params,
                         AscendC::DataCopyPadExtParams<int8_t>(false, 0, 0, 0));
  }

  __aicore__ inline void StoreRows(const Bytes& local, const RowPiece& piece) const {
    const uint32_t gap = static_cast<uint32_t>(tiling_->rowBytes - piece.bytes);
    AscendC::DataCopyPad(
        rows_[piece.firstRow * tiling_->rowBytes + piece.begin], local,
        AscendC::DataCopyExtParams(static_cast<uint16_t>(piece.rows), static_cast<uint32_t>(piece.bytes), 0, gap, 0));
  }

  // One row of a piece, from or to its place in the cache.
  __aicore__ inline void StoreToCache(const Bytes& local, const RowPiece& piece, int64_t slot) const {
    const int64_t chunk = ChunkBytes(piece);
    AscendC::DataCopyPad(cache_[Offset(piece, slot)], local,
                         AscendC::DataCopyExtParams(static_cast<uint16_t>(piece.bytes / chunk),
                                                    static_cast<uint32_t>(chunk), 0, ChunkGap(chunk), 0));
  }

  // Rows of a piece, `pitch` bytes apart, that go to consecutive slots; of form NZ to those of one block. Of several
  // rows a piece is all.
  __aicore__ inline void StoreRunToCache(const Bytes& local, const RowPiece& piece, int64_t slot, int64_t rows,
                                         int64_t pitch) const {
    const int64_t chunk = ChunkBytes(piece);
    const AscendC::DataCopyExtParams params(static_cast<uint16_t>(rows), static_cast<uint32_t>(chunk),
                                            static_cast<uint32_t>((pitch - Pitch(chunk)) / BLOCK), 0, 0);
    const int64_t first = Offset(piece, slot);
    for (int64_t i = 0; i < piece.bytes / chunk; ++i) {
      AscendC::DataCopyPad(cache_[first + i * blockSize_ * chunk], local[static_cast<uint32_t>(i * chunk)], params);
    }
  }

  // Consecutive slots, `rows` of them from a slot on, that are better stored together than one by one.
  __aicore__ inline bool IsRun(const RowPiece& piece, int64_t rows) const {
    constexpr int64_t FEW = 8;  // chunks per row for which it takes no longer
    return rows > 1 && piece.bytes / ChunkBytes(piece) <= rows * FEW;
  }
  // Whether slots go on from one to the next without a gap in a row's chunks or between blocks.
  __aicore__ inline bool GoesOn(int64_t slot) const {
    const bool apart = tiling_->blockBytes != blockSize_ * tiling_->rowBytes;
    return (!IsCut() && !apart) || (slot + 1) % blockSize_ != 0;
  }

  __aicore__ inline void LoadFromCache(const Bytes& local, const RowPiece& piece, int64_t slot) const {
    const int64_t chunk = ChunkBytes(piece);
    AscendC::DataCopyPad(local, cache_[Offset(piece, slot)],
                         AscendC::DataCopyExtParams(static_cast<uint16_t>(piece.bytes / chunk),
                                                    static_cast<uint32_t>(chunk), ChunkGap(chunk), 0, 0),
                         AscendC::DataCopyPadExtParams<int8_t>(false, 0, 0, 0));
  }

 private:
  static constexpr int64_t BLOCK = 32;

  __aicore__ inline bool IsCut() const { return tiling_->chunkBytes < tiling_->rowBytes; }
  __aicore__ inline int64_t ChunkBytes(const RowPiece& piece) const {
    return IsCut() ? tiling_->chunkBytes : piece.bytes;
  }
  __aicore__ inline uint32_t ChunkGap(int64_t chunk) const {
    return IsCut() ? static_cast<uint32_t>((blockSize_ - 1) * chunk) : 0;
  }
  __aicore__ inline int64_t Offset(const RowPiece& piece, int64_t slot) const {
    const int64_t begin = IsCut() ? piece.begin * blockSize_ : piece.begin;
    return slot / blockSize_ * tiling_->blockBytes + begin + slot % blockSize_ * tiling_->chunkBytes;
  }

  AscendC::GlobalTensor<int8_t> rows_;
  AscendC::GlobalTensor<int8_t> cache_;
  const PagedRowsTiling* tiling_;
  int64_t blockSize_;
};

}  // namespace npufa
