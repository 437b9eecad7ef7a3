// One step of a decode batch, in scalar arithmetic: the vector unit has no 64-bit integers.
#pragma once

#include "../tiling/advance_step_tiling.h"
#include "kernel_operator.h"

namespace npufa {

struct AdvanceStepArguments {
  GM_ADDR inputTokens;
  GM_ADDR sampledTokens;
  GM_ADDR inputPositions;
  GM_ADDR sequenceLengths;
  GM_ADDR slotMapping;
  GM_ADDR blockTables;
  GM_ADDR specTokens;
  GM_ADDR acceptedNum;
};

// A core has whole units of requests, and takes as many of their requests at a time as its local memory holds. All
// entries of these pass through the local memory, so that nothing is left in the scalar unit's cache.
class AdvanceStep {
 public:
  __aicore__ inline void Run(const AdvanceStepArguments& arguments, const AdvanceStepTiling& tiling) {
    tiling_ = &tiling;
    arguments_ = &arguments;
    AscendC::TPipe pipe;
    pipe.InitBuffer(memory_, static_cast<uint32_t>(TILE_VECTORS * ADVANCE_TILE_ENTRIES * sizeof(int64_t)));
    tokens_ = LocalTile(0);
    positions_ = LocalTile(1);
    lengths_ = LocalTile(2);
    slots_ = LocalTile(3);
    sampled_ = LocalTile(4);
    drafts_ = LocalTile(5);
    accepted_ = LocalTile(6);
    blocks_ = LocalTile(7);

    const int64_t units = (tiling.requests + ADVANCE_UNIT_REQUESTS - 1) / ADVANCE_UNIT_REQUESTS;
    const int64_t core = AscendC::GetBlockIdx(), cores = AscendC::GetBlockNum();
    const int64_t end = Min(units * (core + 1) / cores * ADVANCE_UNIT_REQUESTS, tiling.requests);
    for (int64_t first = units * core / cores * ADVANCE_UNIT_REQUESTS; first < end; first += tiling.tileRequests) {
      AdvanceTile(first, Min(tiling.tileRequests, end - first));
    }
  }

 private:
  static constexpr uint32_t BLOCK_PITCH = 4;  // int64 in 32 bytes, where a transfer begins
  static constexpr uint32_t TILE_VECTORS = 7 + BLOCK_PITCH;
  static constexpr int64_t NO_TOKEN = -1;
  static constexpr int64_t NO_BLOCK = -1;
  static constexpr int64_t NO_SLOT = -1;

  __aicore__ inline static int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

  __aicore__ inline AscendC::LocalTensor<int64_t> LocalTile(uint32_t index) {
    return memory_.Get<int64_t>()[index * ADVANCE_TILE_ENTRIES];
  }

  template <AscendC::HardEvent EVENT>
  __aicore__ inline static void Await() {
    AscendC::SetFlag<EVENT>(EVENT_ID0);
    AscendC::WaitFlag<EVENT>(EVENT_ID0);
  }

  __aicore__ inline static void Load(const AscendC::LocalTensor<int64_t>& local, GM_ADDR memory, int64_t first,
                                     int64_t count) {
    if (count <= 0) return;
    AscendC::GlobalTensor<int64_t> global;
    global.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(memory));
    const AscendC::DataCopyExtParams params(1, static_cast<uint32_t>(count * sizeof(int64_t)), 0, 0, 0);
    AscendC::DataCopyPad(local, global[first], params, AscendC::DataCopyPadExtParams<int64_t>(false, 0, 0, 0));
  }

  __aicore__ inline static void Store(GM_ADDR memory, const AscendC::LocalTensor<int64_t>& local, int64_t first,
                                      int64_t count) {
    AscendC::GlobalTensor<int64_t> global;
    global.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(memory));
    AscendC::DataCopyPad(global[first], local,
                         AscendC::DataCopyExtParams(1, static_cast<uint32_t>(count * sizeof(int64_t)), 0, 0, 0));
  }

  __aicore__ inline void AdvanceTile(int64_t first, int64_t requests) {
    const int64_t alive = Min(requests, tiling_->queries - first);  // may be negative
    LoadTile(first, requests, alive);
    Await<AscendC::HardEvent::MTE2_S>();
    for (int64_t request = 0; request < alive; ++request) LoadBlocks(first + request, request);
    Await<AscendC::HardEvent::MTE2_S>();
    for (int64_t request = 0; request < requests; ++request) {
      if (request >= alive) {
        Pad(request);
      } else if (HasBlocks(request)) {
        Advance(request);
      } else {
        ClearSlots(request);
      }
    }
    Await<AscendC::HardEvent::S_MTE3>();
    StoreTile(first, requests);
    Await<AscendC::HardEvent::MTE3_MTE2>();
  }

  __aicore__ inline void LoadTile(int64_t first, int64_t requests, int64_t alive) {
    const int64_t width = tiling_->width, entry = first * width, entries = requests * width;
    Load(tokens_, arguments_->inputTokens, entry, entries);
    Load(positions_, arguments_->inputPositions, entry, entries);
    Load(lengths_, arguments_->sequenceLengths, entry, entries);
    Load(sampled_, arguments_->sampledTokens, entry, alive * width);
    if (tiling_->speculative == 0) return;
    Load(drafts_, arguments_->specTokens, first * (width - 1), requests * (width - 1));
    Load(accepted_, arguments_->acceptedNum, first, requests);
  }

  __aicore__ inline void StoreTile(int64_t first, int64_t requests) {
    const int64_t entry = first * tiling_->width, entries = requests * tiling_->width;
    Store(arguments_->inputTokens, tokens_, entry, entries);
    Store(arguments_->inputPositions, positions_, entry, entries);
    Store(arguments_->sequenceLengths, lengths_, entry, entries);
    Store(arguments_->slotMapping, slots_, entry, entries);
  }

  // Fetches the table entries of a request's new positions; where a value of the request is illegal, NO_BLOCK.
  __aicore__ inline void LoadBlocks(int64_t tableRow, int64_t request) {
    const int64_t begin = request * tiling_->width, end = begin + tiling_->width;
    const bool legal = IsLegal(request);
    for (int64_t entry = begin; entry < end; ++entry) {
      if (legal) {
        const int64_t column = NewPosition(request, entry) / tiling_->blockSize;
        Load(blocks_[entry * BLOCK_PITCH], arguments_->blockTables, tableRow * tiling_->tableColumns + column, 1);
      } else {
        blocks_.SetValue(entry * BLOCK_PITCH, NO_BLOCK);
      }
    }
  }

  __aicore__ inline bool IsLegal(int64_t request) const {
    const int64_t begin = request * tiling_->width;
    if (tiling_->speculative != 0) {
      const int64_t accepted = accepted_.GetValue(request);
      if (accepted < 0 || accepted >= tiling_->width || sampled_.GetValue(begin) == NO_TOKEN) return false;
    }
    const int64_t shift = Shift(request);
    for (int64_t entry = begin; entry < begin + tiling_->width; ++entry) {
      const int64_t position = OldPosition(entry);
      if (position < -shift || position >= tiling_->reach - shift) return false;
    }
    return true;
  }

  // With speculation a position moves on; without, it is the number of tokens so far.
  __aicore__ inline int64_t OldPosition(int64_t entry) const {
    return tiling_->speculative != 0 ? positions_.GetValue(entry) : lengths_.GetValue(entry);
  }
  __aicore__ inline int64_t Shift(int64_t request) const {
    return tiling_->speculative != 0 ? 1 + accepted_.GetValue(request) : 0;
  }
  __aicore__ inline int64_t NewPosition(int64_t request, int64_t entry) const {
    return OldPosition(entry) + Shift(request);
  }

  __aicore__ inline bool HasBlocks(int64_t request) const {
    const int64_t begin = request * tiling_->width;
    for (int64_t entry = begin; entry < begin + tiling_->width; ++entry) {
      if (blocks_.GetValue(entry * BLOCK_PITCH) < 0) return false;
    }
    return true;
  }

  __aicore__ inline void Advance(int64_t request) {
    const int64_t begin = request * tiling_->width;
    for (int64_t i = 0; i < tiling_->width; ++i) {
      const int64_t entry = begin + i, position = NewPosition(request, entry);
      const uint64_t block = static_cast<uint64_t>(blocks_.GetValue(entry * BLOCK_PITCH));
      const uint64_t blockSize = static_cast<uint64_t>(tiling_->blockSize);
      tokens_.SetValue(entry, i == 0 ? LastToken(begin) : drafts_.GetValue(request * (tiling_->width - 1) + i - 1));
      positions_.SetValue(entry, position);
      lengths_.SetValue(entry, position + 1);
      slots_.SetValue(entry, static_cast<int64_t>(block * blockSize + static_cast<uint64_t>(position) % blockSize));
    }
  }

  // Last sampled token before the first NO_TOKEN.
  __aicore__ inline int64_t LastToken(int64_t begin) const {
    int64_t last = sampled_.GetValue(begin);
    for (int64_t i = 1; i < tiling_->width; ++i) {
      const int64_t token = sampled_.GetValue(begin + i);
      if (token == NO_TOKEN) break;
      last = token;
    }
    return last;
  }

  __aicore__ inline void Pad(int64_t entry) {
    tokens_.SetValue(entry, 0);
    positions_.SetValue(entry, 0);
    slots_.SetValue(entry, NO_SLOT);
  }

  __aicore__ inline void ClearSlots(int64_t request) {
    const int64_t begin = request * tiling_->width;
    for (int64_t entry = begin; entry < begin + tiling_->width; ++entry) slots_.SetValue(entry, NO_SLOT);
  }

  const AdvanceStepArguments* arguments_;
  const AdvanceStepTiling* tiling_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> memory_;
  AscendC::LocalTensor<int64_t> tokens_;
  AscendC::LocalTensor<int64_t> positions_;
  AscendC::LocalTensor<int64_t> lengths_;
  AscendC::LocalTensor<int64_t> slots_;
  AscendC::LocalTensor<int64_t> sampled_;
  AscendC::LocalTensor<int64_t> drafts_;
  AscendC::LocalTensor<int64_t> accepted_;
  AscendC::LocalTensor<int64_t> blocks_;
};

}  // namespace npufa
