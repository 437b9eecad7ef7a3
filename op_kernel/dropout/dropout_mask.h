// Dropout masks: tiles of Philox words, compared and packed to bits.
#pragma once

#include "../tiling/dropout_tiling.h"
#include "keep_bits.h"
#include "philox.h"

namespace npufa {

class DropoutMask {
 public:
  __aicore__ inline void Run(GM_ADDR seed, GM_ADDR offset, GM_ADDR mask, const DropoutTiling& tiling) {
    KeepLowBits();
    tiling_ = &tiling;
    mask_.SetGlobalBuffer(mask);
    firstCounter_ = tiling.seedOnDevice != 0 ? ReadNumber(offset) : tiling.firstCounter;
    const uint32_t counters = tiling.tileCounters;
    const uint32_t philoxBytes = Philox::Bytes(counters);
    AscendC::TPipe pipe;
    pipe.InitBuffer(memory_, philoxBytes + KeepBits::Bytes(counters));
    pipe.InitBuffer(masks_, 2, KeepBits::MaskBytes(counters));
    const Words words = memory_.Get<int32_t>();
    keepBits_.Init(words[philoxBytes / sizeof(int32_t)], words, counters);
    philox_.Init(words, keepBits_.Order(), counters, tiling.seedOnDevice != 0 ? ReadNumber(seed) : tiling.seed);

    const uint64_t core = static_cast<uint64_t>(AscendC::GetBlockIdx()), cores = AscendC::GetBlockNum();
    const uint64_t end = tiling.tiles * (core + 1) / cores;
    for (uint64_t tile = tiling.tiles * core / cores; tile < end; ++tile) {
      Compute(tile);
      Store(tile);
    }
  }

 private:
  static constexpr uint32_t BYTE_BITS = 8;

  // Philox counts modulo 2^32. An earlier kernel may have left integers that saturate.
  __aicore__ inline static void KeepLowBits() {
    constexpr int64_t INTEGER_SATURATION = 53;
    set_ctrl(sbitset0(get_ctrl(), INTEGER_SATURATION));
  }

  __aicore__ inline static uint64_t ReadNumber(GM_ADDR address) {
    AscendC::GlobalTensor<int64_t> number;
    number.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(address));
    return static_cast<uint64_t>(number.GetValue(0));
  }

  __aicore__ inline void Compute(uint64_t tile) {
    const HalfWords mask = masks_.AllocTensor<uint16_t>();
    philox_.Generate(firstCounter_ + tile * tiling_->tileCounters);
    keepBits_.Compare(mask, philox_, tiling_->lastKept);
    keepBits_.Interleave(mask);
    masks_.EnQue(mask);
  }

  __aicore__ inline void Store(uint64_t tile) {
    AscendC::LocalTensor<uint8_t> mask = masks_.DeQue<uint8_t>();
    const uint64_t first = tile * KeepBits::MaskBytes(tiling_->tileCounters);
    const uint64_t left = tiling_->elements - first * BYTE_BITS;
    uint32_t bytes = KeepBits::MaskBytes(tiling_->tileCounters);
    if (left < static_cast<uint64_t>(bytes) * BYTE_BITS) {
      bytes = static_cast<uint32_t>((left + BYTE_BITS - 1) / BYTE_BITS);
      if (left % BYTE_BITS != 0) ClearBits(mask, bytes - 1, static_cast<uint32_t>(left % BYTE_BITS));
    }
    AscendC::DataCopyPad(mask_[first], mask, AscendC::DataCopyExtParams(1, bytes, 0, 0, 0));
    masks_.FreeTensor(mask);
  }

  // Leaves the lowest `kept` bits of a byte.
  __aicore__ inline static void ClearBits(const AscendC::LocalTensor<uint8_t>& mask, uint32_t byte, uint32_t kept) {
    AscendC::SetFlag<AscendC::HardEvent::V_S>(EVENT_ID0);
    AscendC::WaitFlag<AscendC::HardEvent::V_S>(EVENT_ID0);
    mask.SetValue(byte, static_cast<uint8_t>(mask.GetValue(byte) & ((1u << kept) - 1)));
    AscendC::SetFlag<AscendC::HardEvent::S_MTE3>(EVENT_ID0);
    AscendC::WaitFlag<AscendC::HardEvent::S_MTE3>(EVENT_ID0);
  }

  const DropoutTiling* tiling_;
  uint64_t firstCounter_;
  AscendC::GlobalTensor<uint8_t> mask_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> memory_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 2> masks_;
  KeepBits keepBits_;
  Philox philox_;
};

}  // namespace npufa
