// Order through flags in global memory, the scalar unit's data cache, and tasks.
#pragma once

#include "common.h"
#include "data_copy.h"
#include "pipe.h"
#include "system.h"
#include "vector.h"

namespace npufa_sim {

// A word in global memory that cores signal each other with.
class FlagWord {
 public:
  FlagWord(std::int32_t* word, Site site) : word_(word), site_(site) {}

  std::int32_t Get() const { return __atomic_load_n(word_, __ATOMIC_ACQUIRE); }
  // Everything the core has issued is done before others see the value.
  void Set(std::int32_t value) const {
    PipeBarrierAll(site_);
    Publish(word_, site_, true);
    __atomic_store_n(word_, value, __ATOMIC_RELEASE);
  }
  void Add(std::int32_t value) const {
    PipeBarrierAll(site_);
    Publish(word_, site_, true);
    __atomic_fetch_add(word_, value, __ATOMIC_ACQ_REL);
  }
  template <class Condition>
  void WaitUntil(const Condition& condition) const {
    while (!condition(Get())) PollGm(site_);
    Observe(word_, site_);
    PipeBarrierAll(site_);
  }

 private:
  std::int32_t* word_;
  Site site_;
};

inline FlagWord FlagAt(const AscendC::GlobalTensor<std::int32_t>& tensor, std::int64_t index, Site site) {
  return {tensor.GetPhyAddr(static_cast<std::uint64_t>(index)), site};
}
inline constexpr std::int64_t kFlagStride = 8;  // words: each flag has a block of 32 bytes

}  // namespace npufa_sim

namespace AscendC {

// Flag `eventID` of core `blockIdx`, set by that core when it is clear.
template <bool isAIVOnly = true>
void IBSet(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>&, int32_t blockIdx, int32_t eventID,
           npufa_sim::Site site = npufa_sim::Site::Here()) {
  const int64_t index = (GetBlockNum() * eventID + blockIdx) * npufa_sim::kFlagStride;
  const npufa_sim::FlagWord flag = npufa_sim::FlagAt(gmWorkspace, index, site);
  flag.WaitUntil([](int32_t value) { return value == 0; });
  flag.Set(1);
}
template <bool isAIVOnly = true>
void IBWait(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>&, int32_t blockIdx, int32_t eventID,
            npufa_sim::Site site = npufa_sim::Site::Here()) {
  const int64_t index = (GetBlockNum() * eventID + blockIdx) * npufa_sim::kFlagStride;
  const npufa_sim::FlagWord flag = npufa_sim::FlagAt(gmWorkspace, index, site);
  flag.WaitUntil([](int32_t value) { return value == 1; });
  flag.Set(0);
}

// All cores wait for each other by flags in global memory; 0 cores: all of the kernel.
template <bool isAIVOnly = true>
void SyncAll(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>&, const int32_t usedCores = 0,
             npufa_sim::Site site = npufa_sim::Site::Here()) {
  const int64_t cores = usedCores > 0 ? usedCores : GetBlockNum();
  const npufa_sim::FlagWord own = npufa_sim::FlagAt(gmWorkspace, GetBlockIdx() * npufa_sim::kFlagStride, site);
  const int32_t round = own.Get() + 1;
  own.Set(round);
  for (int64_t core = 0; core < cores; ++core) {
    const npufa_sim::FlagWord other = npufa_sim::FlagAt(gmWorkspace, core * npufa_sim::kFlagStride, site);
    other.WaitUntil([=](int32_t value) { return value >= round; });
  }
}

// Blocks take turns: each waits for the one before it, the first one for the last one's turn before.
inline void InitDetermineComputeWorkspace(GlobalTensor<int32_t>& gmWorkspace, LocalTensor<int32_t>&,
                                          npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::FlagAt(gmWorkspace, GetBlockIdx() * npufa_sim::kFlagStride, site).Set(0);
}
inline void WaitPreBlock(GlobalTensor<int32_t>& gmWorkspace, LocalTensor<int32_t>&,
                         npufa_sim::Site site = npufa_sim::Site::Here()) {
  const int64_t block = GetBlockIdx(), before = (block == 0 ? GetBlockNum() : block) - 1;
  const int32_t turns = npufa_sim::FlagAt(gmWorkspace, block * npufa_sim::kFlagStride, site).Get();
  npufa_sim::FlagAt(gmWorkspace, before * npufa_sim::kFlagStride, site).WaitUntil([=](int32_t done) {
    return block == 0 ? done >= turns : done > turns;
  });
}
inline void NotifyNextBlock(GlobalTensor<int32_t>& gmWorkspace, LocalTensor<int32_t>&,
                            npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::FlagAt(gmWorkspace, GetBlockIdx() * npufa_sim::kFlagStride, site).Add(1);
}

enum class PipeMode : uint8_t { SCALAR_MODE = 0, MTE3_MODE = 1, MAX };

// One group of cores waits until all of another one have arrived. Word 0 counts arrivals, the others rounds of waiters.
template <PipeMode pipeMode>
class GroupBarrier {
 public:
  GroupBarrier(GM_ADDR groupWorkspace, uint32_t arriveSizeIn, uint32_t waitSizeIn)
      : words_(reinterpret_cast<int32_t*>(groupWorkspace)), arrive_(arriveSizeIn), wait_(waitSizeIn) {}

  void Arrive(uint32_t, npufa_sim::Site site = npufa_sim::Site::Here()) { npufa_sim::FlagWord(words_, site).Add(1); }
  void Wait(uint32_t waitIndex, npufa_sim::Site site = npufa_sim::Site::Here()) {
    const npufa_sim::FlagWord rounds(words_ + (1 + waitIndex) * npufa_sim::kFlagStride, site);
    const int32_t expected = (rounds.Get() + 1) * static_cast<int32_t>(arrive_);
    npufa_sim::FlagWord(words_, site).WaitUntil([=](int32_t arrived) { return arrived >= expected; });
    rounds.Add(1);
  }
  uint64_t GetWorkspaceLen() const { return (1 + wait_) * npufa_sim::kFlagStride * sizeof(int32_t); }

 private:
  int32_t* words_;
  uint32_t arrive_, wait_;
};

// Kernels of one stream run one after another here, so there is nothing to wait for.
template <pipe_t AIV_PIPE = PIPE_MTE3, pipe_t AIC_PIPE = PIPE_MTE3, bool FORCE = false>
void SetNextTaskStart() {}
template <bool FORCE = false>
void WaitPreTaskEnd() {}

enum class CacheLine : uint64_t { SINGLE_CACHE_LINE = 0, ENTIRE_DATA_CACHE };
enum class DcciDst : uint64_t { CACHELINE_ALL = 0, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };
enum class MemDsbT : uint8_t { ALL = 0, DDR, UB, SEQ };

// Memory is coherent here; what counts is that the scalar unit's writes become known to the cores that look.
template <class T, CacheLine entireType, DcciDst dcciDst = DcciDst::CACHELINE_OUT>
void DataCacheCleanAndInvalid(const GlobalTensor<T>& dst, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::ManageCache(entireType == CacheLine::ENTIRE_DATA_CACHE ? nullptr : dst.GetPhyAddr(), site);
}
template <class T, CacheLine entireType, DcciDst dcciDst = DcciDst::CACHELINE_UB>
void DataCacheCleanAndInvalid(const LocalTensor<T>&) {}
template <MemDsbT type>
void DataSyncBarrier() {}
template <class T>
void DataCachePreload(const GlobalTensor<uint64_t>&, const T) {}
inline void ICachePreLoad(const int64_t) {}

template <class T>
T ReadGmByPassDCache(__gm__ T* addr, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::ManageCache(addr, site);
  GlobalTensor<T> word;
  word.SetGlobalBuffer(addr);
  return word.GetValue(0, site);
}
template <class T>
void WriteGmByPassDCache(__gm__ T* addr, T value, npufa_sim::Site site = npufa_sim::Site::Here()) {
  GlobalTensor<T> word;
  word.SetGlobalBuffer(addr);
  word.SetValue(0, value, site);
  npufa_sim::ManageCache(addr, site);
}

// Fills global memory from the end of UB, in order with everything else.
template <class T>
void InitOutput(GlobalTensor<T> gmWorkspaceAddr, uint32_t size, T value = 0,
                npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV {
    constexpr uint32_t kBytes = 8192, kCount = kBytes / sizeof(T);
    const LocalTensor<T> tile(TPosition::VECCALC, TOTAL_UB_SIZE - kBytes, kCount);
    PipeBarrier<PIPE_ALL>();
    Duplicate(tile, value, kCount, site);
    PipeBarrier<PIPE_ALL>();
    for (uint32_t first = 0; first < size; first += kCount) {
      const uint32_t count = size - first < kCount ? size - first : kCount;
      DataCopyPad(gmWorkspaceAddr[first], tile, DataCopyExtParams(1, count * sizeof(T), 0, 0, 0), site);
    }
    PipeBarrier<PIPE_ALL>();
  }
}
#ifndef NPUFA_SIM_TOOLKIT_LIBRARIES  // else the toolkit's own
template <class T>
void InitGlobalMemory(GlobalTensor<T>& gmWorkspaceAddr, uint64_t size, T value) {
  InitOutput(gmWorkspaceAddr, static_cast<uint32_t>(size), value);
}
#endif

}  // namespace AscendC
