// Writes rows of tokens to their slots in paged caches of keys and values.
#pragma once

#include "../tiling/scatter_tiling.h"
#include "row_pipeline.h"

namespace npufa {

struct ScatterJob {
  int64_t side;
  RowPiece piece;
  int64_t slot;  // of its first row, among those at hand
};

// A core has consecutive tokens.
class Scatter {
 public:
  __aicore__ inline void Run(GM_ADDR key, GM_ADDR value, GM_ADDR keyCache, GM_ADDR valueCache, GM_ADDR slots,
                             const ScatterTiling& tiling) {
    tiling_ = &tiling;
    slots_ = slots;
    side_[0].Init(key, keyCache, tiling.side[0], tiling.blockSize);
    side_[1].Init(value, valueCache, tiling.side[1], tiling.blockSize);
    AscendC::TPipe pipe;
    pipe.InitBuffer(slotMemory_, static_cast<uint32_t>(ROW_SLOTS * sizeof(int64_t)));
    pipeline_.Init(pipe);
    const int64_t core = AscendC::GetBlockIdx(), cores = AscendC::GetBlockNum();
    const int64_t end = tiling.tokens * (core + 1) / cores;
    for (int64_t first = tiling.tokens * core / cores; first < end; first += ROW_SLOTS) {
      MoveTokens(first, Min(ROW_SLOTS, end - first));
    }
    pipeline_.End(*this);
  }

  __aicore__ inline void Load(const PagedRows::Bytes& buffer, const ScatterJob& job) const {
    side_[job.side].LoadRows(buffer, job.piece);
  }

  __aicore__ inline void Store(const PagedRows::Bytes& buffer, const ScatterJob& job) {
    const int64_t pitch = PagedRows::Pitch(job.piece.bytes);
    const PagedRows& side = side_[job.side];
    int64_t run = 1;
    for (int64_t row = 0; row < job.piece.rows; row += run) {
      const int64_t slot = Slot(job.slot + row);
      run = RunLength(side, job, row, slot);
      if (slot < 0) continue;
      if (slot + run > tiling_->slots) AscendC::Trap();
      const PagedRows::Bytes rows = buffer[static_cast<uint32_t>(row * pitch)];
      if (side.IsRun(job.piece, run)) {
        side.StoreRunToCache(rows, job.piece, slot, run, pitch);
        continue;
      }
      for (int64_t i = 0; i < run; ++i) {
        side.StoreToCache(rows[static_cast<uint32_t>(i * pitch)], job.piece, slot + i);
      }
    }
  }

 private:
  __aicore__ inline static int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

  // Rows from one on that go to consecutive slots.
  __aicore__ inline int64_t RunLength(const PagedRows& side, const ScatterJob& job, int64_t row, int64_t slot) {
    int64_t run = 1;
    while (slot >= 0 && row + run < job.piece.rows && Slot(job.slot + row + run) == slot + run &&
           side.GoesOn(slot + run - 1)) {
      ++run;
    }
    return run;
  }

  __aicore__ inline void MoveTokens(int64_t first, int64_t tokens) {
    LoadSlots(first, tokens);
    for (int64_t side = 0; side < tiling_->sides; ++side) {
      const PagedRowsTiling& rows = tiling_->side[side];
      const int64_t atOnce = side_[side].RowsAtOnce();
      for (int64_t token = 0; token < tokens; token += atOnce) {
        for (int64_t begin = 0; begin < rows.rowBytes; begin += rows.pieceBytes) {
          pipeline_.Move(
              *this, {side,
                      {first + token, Min(atOnce, tokens - token), begin, Min(rows.pieceBytes, rows.rowBytes - begin)},
                      token});
        }
      }
    }
    pipeline_.Finish(*this);
    AwaitEvent<AscendC::HardEvent::S_MTE2>();
  }

  __aicore__ inline void LoadSlots(int64_t first, int64_t tokens) {
    AscendC::GlobalTensor<int8_t> entries;
    entries.SetGlobalBuffer(reinterpret_cast<__gm__ int8_t*>(slots_));
    AscendC::DataCopyPad(slotMemory_.Get<int8_t>(), entries[first * tiling_->slotBytes],
                         AscendC::DataCopyExtParams(1, static_cast<uint32_t>(tokens * tiling_->slotBytes), 0, 0, 0),
                         AscendC::DataCopyPadExtParams<int8_t>(false, 0, 0, 0));
    AwaitEvent<AscendC::HardEvent::MTE2_S>();
  }

  __aicore__ inline int64_t Slot(int64_t index) {
    if (tiling_->slotBytes == sizeof(int32_t)) return slotMemory_.Get<int32_t>().GetValue(static_cast<uint32_t>(index));
    return slotMemory_.Get<int64_t>().GetValue(static_cast<uint32_t>(index));
  }

  const ScatterTiling* tiling_;
  GM_ADDR slots_;
  PagedRows side_[2];
  RowPipeline<Scatter, ScatterJob> pipeline_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> slotMemory_;
};

}  // namespace npufa
