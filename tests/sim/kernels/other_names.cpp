// What kernels of other projects use beside the first names of the API: headers that are parts of it, tensors at bare
// addresses, operators between tensors, the compiler's own functions, sorting, and what the matrix library has beside its
// object.
#include "ascendc/host_api/tiling/template_argument.h"
#include "basic_api/kernel_basic_intf.h"
#include "impl/dav_c220/kernel_operator_reg_others_impl.h"
#include "kernel_basic_intf.h"
#include "kernel_common.h"
#include "kernel_cube_intf.h"
#include "kernel_event.h"
#include "kernel_macros.h"
#include "kernel_operator.h"
#include "kernel_operator_intf.h"
#include "kernel_operator_list_tensor_intf.h"
#include "kernel_tensor.h"
#include "kernel_tiling/kernel_tiling.h"
#include "kernel_tpipe.h"
#include "kernel_type.h"
#include "kernel_utils.h"
#include "kernel_vec_intf.h"
#include "lib/matmul_intf.h"
#include "lib/matrix/matmul/tiling.h"
#include "tiling/template_argument.h"
#include "utils/debug/asc_dump.h"

ASCENDC_TPL_ARGS_DECL(other_names, ASCENDC_TPL_BOOL_DECL(flag, 0, 1), ASCENDC_TPL_UINT_DECL(n, 4, 1, 2));
ASCENDC_TPL_SEL(ASCENDC_TPL_ARGS_SEL(ASCENDC_TPL_BOOL_SEL(flag, 0), ASCENDC_TPL_UINT_SEL(n, 1, 2)));

using namespace AscendC;

constexpr uint32_t kCount = 64;

template <class T>
GlobalTensor<T> Gm(GM_ADDR address) {
  GlobalTensor<T> gm;
  gm.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address));
  return gm;
}

template <class T>
LocalTensor<T> At(uint32_t address, uint32_t elements) {
  LocalTensor<T> tensor;
  tensor.address_.logicPos = static_cast<uint8_t>(TPosition::VECCALC);
  tensor.InitBuffer(address, elements);
  return tensor;
}

// Results one after the other, masks in 32 bytes each.
extern "C" __global__ __aicore__ void operators(GM_ADDR x, GM_ADDR y, GM_ADDR numbers, GM_ADDR masks, GM_ADDR bits) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const LocalTensor<float> a = At<float>(0, kCount), b = At<float>(256, kCount);
  LocalTensor<float> c = At<float>(512, kCount);
  LocalTensor<uint8_t> mask = At<uint8_t>(1024, 32);
  DataCopy(a, Gm<float>(x), kCount);
  DataCopy(b, Gm<float>(y), kCount);
  const auto put = [&](uint32_t at) {
    pipe_barrier(PIPE_ALL);
    DataCopy(Gm<float>(numbers)[at * kCount], c, kCount);
    pipe_barrier(PIPE_ALL);
  };
  const auto put_mask = [&](uint32_t at) {
    pipe_barrier(PIPE_ALL);
    DataCopy(Gm<uint8_t>(masks)[at * 32], mask, 32);
    pipe_barrier(PIPE_ALL);
  };
  set_flag(PIPE_MTE2, PIPE_V, EVENT_ID0);
  wait_flag(PIPE_MTE2, PIPE_V, EVENT_ID0);
  Duplicate(mask.ReinterpretCast<uint16_t>(), uint16_t{0}, 16);
  pipe_barrier(PIPE_V);
  c = a + b;
  put(0);
  c = a - b;
  put(1);
  c = a * b;
  put(2);
  c = a / b;
  put(3);
  mask = a < b;
  put_mask(0);
  mask = a > b;
  put_mask(1);
  mask = a == b;
  put_mask(2);
  mask = a <= b;
  put_mask(3);
  mask = a >= b;
  put_mask(4);
  mask = a != b;
  put_mask(5);
  LocalTensor<uint16_t> either = At<uint16_t>(2048, 2 * kCount), both = At<uint16_t>(2304, 2 * kCount);
  either = a.ReinterpretCast<uint16_t>() | b.ReinterpretCast<uint16_t>();
  both = a.ReinterpretCast<uint16_t>() & b.ReinterpretCast<uint16_t>();
  pipe_barrier(PIPE_ALL);
  DataCopy(Gm<uint16_t>(bits), either, 4 * kCount);
}

// Adds where the mask that was set allows it.
extern "C" __global__ __aicore__ void masked(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  LocalTensor<float> a = At<float>(0, kCount);
  DataCopy(a, Gm<float>(x), kCount);
  pipe_barrier(PIPE_ALL);
  AscendCUtils::SetMask<float>(40);
  Adds<float, false>(a, a, 1.0f, MASK_PLACEHOLDER, 1, {1, 1, 8, 8});
  pipe_barrier(PIPE_V);
  AscendCUtils::SetMask<float>(0, 0xff);
  Adds<float, false>(a, a, 1.0f, MASK_PLACEHOLDER, 1, {1, 1, 8, 8});
  AscendCUtils::ResetMask();
  pipe_barrier(PIPE_ALL);
  DataCopy(Gm<float>(out), a, kCount);
}

template <class T, bool full>
__global__ __aicore__ void sorted(GM_ADDR scores, GM_ADDR indices, GM_ADDR values_out, GM_ADDR indices_out,
                                  int32_t groups) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const uint32_t count = 32 * groups;
  TPipe pipe;
  TBuf<> score_buffer, index_buffer, pair_buffer, other_buffer;
  pipe.InitBuffer(score_buffer, count * sizeof(T));
  pipe.InitBuffer(index_buffer, count * sizeof(uint32_t));
  pipe.InitBuffer(pair_buffer, count * 8);
  pipe.InitBuffer(other_buffer, count * 8);
  LocalTensor<T> score = score_buffer.Get<T>(), pairs = pair_buffer.Get<T>(), other = other_buffer.Get<T>(), spread;
  LocalTensor<uint32_t> index = index_buffer.Get<uint32_t>();
  DataCopy(score, Gm<T>(scores), count);
  DataCopy(index, Gm<uint32_t>(indices), count);
  pipe_barrier(PIPE_ALL);
  Concat(spread, score, other, groups);
  Sort<T, full>(pairs, spread, index, other, groups);
  pipe_barrier(PIPE_V);
  Extract(score, index, pairs, groups);
  pipe_barrier(PIPE_ALL);
  DataCopy(Gm<T>(values_out), score, count);
  DataCopy(Gm<uint32_t>(indices_out), index, count);
}

// Memory that InitBuffer has left is taken for the time of a call.
extern "C" __global__ __aicore__ void cleared(GM_ADDR out, GM_ADDR left) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 196000);
  LocalTensor<uint8_t> rest;
  PopStackBuffer<uint8_t, TPosition::LCM>(rest);
  matmul::InitOutput<int32_t>(Gm<int32_t>(out), 1000, 7);
  Gm<int32_t>(left).SetValue(0, rest.GetSize());
}

extern "C" __global__ __aicore__ void functions(GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  if ASCEND_IS_AIC
    return;
  const int64_t words[] = {get_block_idx(), get_block_num(),   get_subblockid(), get_subblockdim(),
                           min(3, 2),       max(2.5, 3),       clz(1),           clz(0),
                           Ceil(7, 4),      CeilAlign(17, 16), ConstCeil(9, 3),  GetSortLen<half>(3)};
  const int64_t core = get_block_idx() * get_subblockdim() + get_subblockid();
  for (int i = 0; i < 12; ++i) Gm<int64_t>(out).SetValue(core * 16 + i, words[i]);
}

extern "C" __global__ __aicore__ void printed(GM_ADDR x) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  LocalTensor<float> a = At<float>(64, 16);
  DataCopy(a, Gm<float>(x), 16);
  pipe_barrier(PIPE_ALL);
  AscendC::printf("value %d of %s\n", 5, "five");
  DumpTensor(a, 11, 3);
  DumpTensor(Gm<float>(x)[1], 12, 2);
  asc_dump_gm(reinterpret_cast<__gm__ float*>(x), 13, 2);
  asc_dump_ubuf(reinterpret_cast<__ubuf__ float*>(a.GetPhyAddr()), 14, 2);
}

// A tensor that changes its place.
extern "C" __global__ __aicore__ void moved(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  LocalTensor<float> a = At<float>(0, kCount);
  DataCopy(a, Gm<float>(x), kCount);
  a.SetAddr(128);
  pipe_barrier(PIPE_ALL);
  DataCopy(Gm<float>(out), a, kCount / 2);
}
