// Sorting as kernels see it: pairs of value and index, 8 bytes each, by values from the largest down.
#pragma once

#include "data_copy.h"
#include "sync.h"
#include "vector_gather.h"
#include "vector_sort.h"

namespace AscendC {

// Elements of T that pairs take.
template <class T>
constexpr uint32_t GetSortOffset(const uint32_t elemOffset) {
  return elemOffset * (8 / sizeof(T));
}
template <class T>
constexpr uint32_t GetSortLen(const uint32_t elemCount) {
  return GetSortOffset<T>(elemCount);
}

// This chip sorts values as they are; older ones spread them first.
template <class T>
void Concat(LocalTensor<T>& concat, const LocalTensor<T>& src, const LocalTensor<T>&, const int32_t) {
  concat = src;
}

// Runs of `length` pairs in `src`, `pairs` in all, to runs of four times the length in `dst`.
template <class T>
void MergeRuns(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint32_t length, uint32_t pairs,
               npufa_sim::Site site) {
  for (uint32_t begin = 0; begin < pairs; begin += 4 * length) {
    LocalTensor<T> runs[4];
    uint16_t lengths[4] = {};
    int count = 0;
    for (uint32_t at = begin; count < 4 && at < pairs; at += length, ++count) {
      runs[count] = src[GetSortOffset<T>(at)];
      lengths[count] = static_cast<uint16_t>(pairs - at < length ? pairs - at : length);
    }
    const LocalTensor<T> to = dst[GetSortOffset<T>(begin)];
    uint32_t taken[4];
    if (count == 1) DataCopy(to, runs[0], GetSortLen<T>(lengths[0]), site);
    else MrgSort<T>(to, {runs[0], runs[1], runs[2], runs[3]}, lengths, taken, (1 << count) - 1, 1, site);
  }
}

// repeatTime groups of 32; isFullSort makes one list of them. tmp has the size of dst.
template <typename T, bool isFullSort>
void Sort(const LocalTensor<T>& dst, const LocalTensor<T>& concat, const LocalTensor<uint32_t>& index,
          LocalTensor<T>& tmp, const int32_t repeatTime, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV {
    const uint32_t pairs = 32 * repeatTime;
    int rounds = 0;
    for (uint32_t length = 32; isFullSort && length < pairs; length *= 4) ++rounds;
    const LocalTensor<T>* buffers[2] = {&dst, &tmp};
    Sort32(*buffers[rounds % 2], concat, index, repeatTime, site);
    for (uint32_t length = 32; rounds > 0; length *= 4, --rounds) {
      PipeBarrier<PIPE_V>(site);
      MergeRuns(*buffers[(rounds - 1) % 2], *buffers[rounds % 2], length, pairs, site);
    }
  }
}

template <typename T>
void Extract(const LocalTensor<T>& dstValue, const LocalTensor<uint32_t>& dstIndex, const LocalTensor<T>& sorted,
             const int32_t repeatTime, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if ASCEND_IS_AIV {
    constexpr uint8_t values = sizeof(T) == 4 ? 1 : 3, indices = 2;  // every second, every fourth; the second of two
    const GatherMaskParams params(1, repeatTime, 8, 0);
    uint64_t count;
    GatherMask(dstValue, sorted, values, false, 0, params, count, site);
    GatherMask(dstIndex, sorted.template ReinterpretCast<uint32_t>(), indices, false, 0, params, count, site);
  }
}

}  // namespace AscendC
