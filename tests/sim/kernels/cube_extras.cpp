// Of the cube core: sparse products, the boundary of 3D loads, L1 to GM, constants and scales in L1.
#include "kernel_operator.h"

using namespace AscendC;

// A: m x k int8 as NZ, B: the half of k that is there as zN, its indices, C: m x n.
__global__ __cube__ void sparse(__gm__ int8_t* a, __gm__ int8_t* b, __gm__ uint8_t* index, __gm__ int32_t* c,
                                uint16_t m, uint16_t n, uint16_t k) {
  GlobalTensor<int8_t> aGm, bGm;
  GlobalTensor<uint8_t> indexGm;
  GlobalTensor<int32_t> cGm;
  aGm.SetGlobalBuffer(a, m * k);
  bGm.SetGlobalBuffer(b, n * k / 2);
  indexGm.SetGlobalBuffer(index, n * k / 8);
  cGm.SetGlobalBuffer(c, m * n);
  LocalTensor<int8_t> a1(TPosition::A1, 0, m * k), b1(TPosition::B1, 65536, n * k / 2);
  LocalTensor<uint8_t> index1(TPosition::B1, 131072, n * k / 8);
  LocalTensor<int8_t> a2(TPosition::A2, 0, m * k), b2(TPosition::B2, 0, n * k / 2);
  LocalTensor<int32_t> c0(TPosition::CO1, 0, m * n);
  DataCopy(a1, aGm, m * k);
  DataCopy(b1, bGm, n * k / 2);
  DataCopy(index1, indexGm, n * k / 8);
  PipeBarrier<PIPE_ALL>();
  LoadData2DParams load;
  load.repeatTimes = k / 32;
  load.srcStride = m / 16;
  for (int row = 0; row < m / 16; ++row) LoadData(a2[row * 16 * k], a1[row * 512], load);
  LoadData2dParams all;
  all.repeatTimes = n / 16 * k / 64;
  LoadDataWithSparse(b2, b1, index1, all);
  PipeBarrier<PIPE_ALL>();
  MmadWithSparse(c0, a2, b2, MmadParams(m, n, k, false, 0, false, false, false));
  PipeBarrier<PIPE_ALL>();
  Fixpipe(cGm, c0, FixpipeParamsV220(n, m, m, n, false));
}

// 16 rows of 16 halves that begin again after 1024 bytes of L1, times the identity.
__global__ __cube__ void boundary(__gm__ half* x, __gm__ half* identity, __gm__ float* z, uint32_t bytes) {
  GlobalTensor<half> xGm, iGm;
  GlobalTensor<float> zGm;
  xGm.SetGlobalBuffer(x, 512);
  iGm.SetGlobalBuffer(identity, 256);
  zGm.SetGlobalBuffer(z, 64 * 16);
  LocalTensor<half> a1(TPosition::A1, 0, 512), b1(TPosition::B1, 8192, 256);
  LocalTensor<half> a2(TPosition::A2, 0, 1024), b2(TPosition::B2, 0, 256);
  LocalTensor<float> c0(TPosition::CO1, 0, 1024);
  DataCopy(a1, xGm, 512);
  DataCopy(b1, iGm, 256);
  PipeBarrier<PIPE_ALL>();
  const uint8_t none[4] = {0, 0, 0, 0};
  SetFmatrix(64, 1, none, FmatrixMode::FMATRIX_LEFT);
  SetLoadDataBoundary(bytes);
  LoadData3DParamsV2Pro window;
  window.channelSize = 16;
  window.extConfig = uint64_t{64} << 16 | 16;
  LoadData(a2, a1, window);
  SetLoadDataBoundary(0);
  LoadData2DParams one;
  one.repeatTimes = 1;
  LoadData(b2, b1, one);
  PipeBarrier<PIPE_ALL>();
  MmadParams product;
  product.m = 64;
  product.n = 16;
  product.k = 16;
  Mmad(c0, a2, b2, product);
  PipeBarrier<PIPE_ALL>();
  Fixpipe(zGm, c0, FixpipeParamsV220(16, 64, 64, 16, false));
}

__global__ __cube__ void fill_and_store(__gm__ half* z) {
  GlobalTensor<half> zGm;
  zGm.SetGlobalBuffer(z, 512);
  LocalTensor<half> a1(TPosition::A1, 0, 512);
  Fill(a1, InitConstValueParams<half>(2, 8, 8, static_cast<half>(1.5f)));
  Fill(a1[128], InitConstValueParams<half>(2, 8, 8, static_cast<half>(-2.0f)));
  PipeBarrier<PIPE_ALL>();
  DataCopy(zGm, a1, 512);
}

// 16 x 16 times 16 x 32 as int8 in L1, where the scales of the columns were.
__global__ __cube__ void over_the_scales(__gm__ half* a, __gm__ half* b, __gm__ uint64_t* scales, __gm__ int8_t* z) {
  GlobalTensor<half> aGm, bGm;
  GlobalTensor<uint64_t> scalesGm;
  GlobalTensor<int8_t> zGm;
  aGm.SetGlobalBuffer(a, 256);
  bGm.SetGlobalBuffer(b, 512);
  scalesGm.SetGlobalBuffer(scales, 32);
  zGm.SetGlobalBuffer(z, 512);
  LocalTensor<half> a1(TPosition::A1, 4096, 256), b1(TPosition::B1, 8192, 512);
  LocalTensor<uint64_t> scales1(TPosition::C1, 0, 32);
  LocalTensor<half> a2(TPosition::A2, 0, 256), b2(TPosition::B2, 0, 512);
  LocalTensor<float> c0(TPosition::CO1, 0, 512);
  DataCopy(a1, aGm, 256);
  DataCopy(b1, bGm, 512);
  DataCopy(scales1, scalesGm, 32);
  PipeBarrier<PIPE_ALL>();
  LoadData2DParams load;
  load.srcStride = 1;
  load.repeatTimes = 1;
  LoadData(a2, a1, load);
  load.repeatTimes = 2;
  LoadData(b2, b1, load);
  PipeBarrier<PIPE_ALL>();
  MmadParams product;
  product.m = product.k = 16;
  product.n = 32;
  Mmad(c0, a2, b2, product);
  PipeBarrier<PIPE_ALL>();
  const LocalTensor<int8_t> result(TPosition::A1, 0, 512);
  FixpipeParamsV220 move(32, 16, 16, 16, false);
  move.quantPre = QuantMode_t::VQF322B8_PRE;
  Fixpipe<int8_t, float, CFG_NZ>(result, c0, scales1, move);
  PipeBarrier<PIPE_ALL>();
  DataCopy(zGm, result, 512);
}
