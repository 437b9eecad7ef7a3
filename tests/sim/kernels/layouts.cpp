// Slices, transposes of four dimensions, pools of buffers, lists of tensors, and names of CANN 9 for reductions.
#include "kernel_operator.h"

using namespace AscendC;

// Rows [0, 3) step 2 of a 3 x 87 matrix, columns 16..70 in pieces of 24 with 7 left out, and back behind each other.
__global__ __vector__ void slices(__gm__ float* x, __gm__ float* z) {
  GlobalTensor<float> source, target;
  source.SetGlobalBuffer(x);
  target.SetGlobalBuffer(z);
  LocalTensor<float> tile(TPosition::VECIN, 0, 96);
  const SliceInfo from[] = {{16, 70, 7, 3, 87}, {0, 2, 1, 1, 3}}, to[] = {{0, 47, 0, 3, 48}, {0, 1, 0, 1, 2}};
  DataCopy(tile, source, to, from, 2);
  PipeBarrier<PIPE_ALL>();
  DataCopy(target, tile, to, to, 2);
}

__global__ __vector__ void transpose(__gm__ half* x, __gm__ half* z, TransposeParamsExt shape) {
  const uint32_t count = shape.nSize * shape.cSize * shape.hSize * shape.wSize;
  GlobalTensor<half> source, target;
  source.SetGlobalBuffer(x, count);
  target.SetGlobalBuffer(z, count);
  LocalMemAllocator<Hardware::UB> allocator;
  LocalTensor<half> in = allocator.Alloc<half>(count), out = allocator.Alloc<half>(count);
  LocalTensor<uint8_t> work = allocator.Alloc<uint8_t>(4096);
  DataCopy(in, source, count);
  PipeBarrier<PIPE_ALL>();
  Transpose(out, in, work, shape);
  PipeBarrier<PIPE_ALL>();
  DataCopy(target, out, count);
}

class OwnPool {
 public:
  OwnPool() { Init(); }
  template <class T>
  bool InitBuffer(T& queue, uint8_t count, uint32_t len) {
    auto handle = GetBufHandle(GetCurBufSize());
    const uint32_t address = GetCurAddr();
    queue.InitStartBufHandle(handle, count, len);
    for (uint32_t i = 0; i < count; ++i) queue.InitBufHandle(this, i, handle, address + i * len, len);
    SetCurAddr(address + count * len);
    SetCurBufSize(GetCurBufSize() + count);
    return true;
  }
  EXTERN_IMPL_BUFPOOL(OwnPool, TPosition::VECCALC, 8);
};

template <class Pool>
__aicore__ inline void AddOne(Pool& pool, GlobalTensor<float>& from, GlobalTensor<float>& to) {
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> out;
  pool.InitBuffer(in, 1, 1024);
  pool.InitBuffer(out, 1, 1024);
  LocalTensor<float> x = in.AllocTensor<float>();
  DataCopy(x, from, 256);
  in.EnQue(x);
  x = in.DeQue<float>();
  LocalTensor<float> y = out.AllocTensor<float>();
  Adds(y, x, 1.0f, 256);
  out.EnQue(y);
  in.FreeTensor(x);
  y = out.DeQue<float>();
  DataCopy(to, y, 256);
  out.FreeTensor(y);
  pool.Reset();
}

// The same 2 KB three times: a pool, one that shares it, one of the kernel's own inside of it.
__global__ __vector__ void pools(__gm__ float* x, __gm__ float* z) {
  TPipe pipe;
  GlobalTensor<float> from, to[3];
  from.SetGlobalBuffer(x, 256);
  for (int i = 0; i < 3; ++i) to[i].SetGlobalBuffer(z + i * 256, 256);
  TBufPool<TPosition::VECCALC> first, second;
  OwnPool third;
  pipe.InitBufPool(first, 2048);
  pipe.InitBufPool(second, 2048, first);
  AddOne(first, from, to[0]);
  AddOne(second, from, to[1]);
  first.InitBufPool(third, 2048);
  AddOne(third, from, to[2]);
}

__global__ __vector__ void small_pool() {
  TPipe pipe;
  TBufPool<TPosition::VECCALC> pool;
  TQue<TPosition::VECIN, 1> queue;
  pipe.InitBufPool(pool, 1024);
  pool.InitBuffer(queue, 2, 1024);
}

// Sums of tensors behind one address; the words: dimensions and first size of the last one.
__global__ __vector__ void list_of_tensors(__gm__ uint8_t* list, __gm__ int64_t* z) {
  ListTensorDesc tensors(list);
  uint64_t shape[8];
  TensorDesc<int64_t> last;
  last.SetShapeAddr(shape);
  tensors.GetDesc(last, tensors.GetSize() - 1);
  GlobalTensor<int64_t> out;
  out.SetGlobalBuffer(z);
  out.SetValue(0, *tensors.GetDataPtr<int64_t>(0) + *last.GetDataPtr());
  out.SetValue(1, last.GetDim());
  out.SetValue(2, last.GetShape(0));
}

// Each name of CANN 9 beside that of CANN 8, on 256 floats; rows of 64 results.
__global__ __vector__ void new_names(__gm__ float* x, __gm__ float* z) {
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer(x, 256);
  to.SetGlobalBuffer(z);
  LocalMemAllocator<Hardware::UB> allocator;
  LocalTensor<float> in = allocator.Alloc<float>(256), out = allocator.Alloc<float>(64 * 12);
  DataCopy(in, from, 256);
  PipeBarrier<PIPE_ALL>();
  Duplicate(out, 0.0f, 64 * 12);
  PipeBarrier<PIPE_V>();
  ReduceRepeat<ReduceType::SUM, float>(out, in, 64, 4, 1, 1, 8);
  WholeReduceSum(out[64], in, 64, 4, 1, 1, 8);
  ReduceRepeat<ReduceType::MAX, float>(out[128], in, 64, 4, 1, 1, 8);
  WholeReduceMax(out[192], in, 64, 4, 1, 1, 8);
  ReduceDataBlock<ReduceType::MIN, float>(out[256], in, 64, 4, 1, 1, 8);
  BlockReduceMin(out[320], in, 4, 64, 1, 1, 8);
  ReducePairElem<ReduceType::SUM, float>(out[384], in, 64, 2, 1, 1, 8);
  PairReduceSum(out[448], in, 2, 64, 1, 1, 8);
  Compares(out[512].ReinterpretCast<uint8_t>(), in, 0.5f, CMPMODE::GT, 256);
  CompareScalar(out[576].ReinterpretCast<uint8_t>(), in, 0.5f, CMPMODE::GT, 256);
  PipeBarrier<PIPE_ALL>();
  ReduceSum(out[640], in, out[704], 256);
  out[704].SetValue(0, GetReduceRepeatSumSpr<float>());
  PipeBarrier<PIPE_ALL>();
  DataCopy(to, out, 64 * 12);
}
