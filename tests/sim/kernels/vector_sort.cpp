// Sort32 and MrgSort on (score, index) pairs.
#include "kernel_operator.h"

using namespace AscendC;

struct MergeShape {
  uint16_t lengths[4];
  uint16_t valid;
  uint16_t repeat;
  uint32_t suspend;
};

// `count` scores and indices, sorted in groups of 32; `type` wide scores.
template <class T>
__global__ __vector__ void sort_groups(GM_ADDR scores, GM_ADDR indices, GM_ADDR sorted, uint32_t count) {
  GlobalTensor<T> source, target;
  GlobalTensor<uint32_t> index;
  source.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(scores), count);
  index.SetGlobalBuffer(reinterpret_cast<__gm__ uint32_t*>(indices), count);
  target.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(sorted), count * 8 / sizeof(T));
  LocalMemAllocator<Hardware::UB> allocator;
  LocalTensor<T> in = allocator.Alloc<T>(count), out = allocator.Alloc<T>(count * 8 / sizeof(T));
  LocalTensor<uint32_t> number = allocator.Alloc<uint32_t>(count);
  DataCopy(in, source, count);
  DataCopy(number, index, count);
  PipeBarrier<PIPE_ALL>();
  Sort32(out, in, number, count / 32);
  PipeBarrier<PIPE_ALL>();
  DataCopy(target, out, count * 8 / sizeof(T));
}

// Lists of 8-byte elements one behind the other; behind the result what GetMrgSortResult says.
__global__ __vector__ void merge(GM_ADDR lists, GM_ADDR merged, GM_ADDR taken, MergeShape shape) {
  const uint32_t total = shape.lengths[0] + shape.lengths[1] + shape.lengths[2] + shape.lengths[3];
  const uint32_t floats = total * shape.repeat * 2;
  GlobalTensor<float> source, target;
  GlobalTensor<int32_t> counts;
  source.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(lists), floats);
  target.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(merged), floats);
  counts.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(taken), 4);
  LocalMemAllocator<Hardware::UB> allocator;
  LocalTensor<float> in = allocator.Alloc<float>(floats), out = allocator.Alloc<float>(floats);
  DataCopy(in, source, floats);
  PipeBarrier<PIPE_ALL>();
  uint32_t start[4] = {0, 0, 0, 0};
  for (int i = 1; i < 4; ++i) start[i] = start[i - 1] + shape.lengths[i - 1] * 2;
  const MrgSortSrcList<float> sources(in[start[0]], in[start[1]], in[start[2]], in[start[3]]);
  MrgSort(out, sources, MrgSort4Info(shape.lengths, shape.suspend != 0, shape.valid, shape.repeat));
  uint16_t n[4];
  GetMrgSortResult(n[0], n[1], n[2], n[3]);
  for (int i = 0; i < 4; ++i) counts.SetValue(i, n[i]);
  PipeBarrier<PIPE_ALL>();
  DataCopy(target, out, floats);
}
