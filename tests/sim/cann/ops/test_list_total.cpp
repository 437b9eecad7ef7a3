#include "kernel_operator.h"
#include "list_total_tiling.h"

using namespace AscendC;

// The list: bytes up to the addresses; rank and sizes of every tensor; the addresses.
extern "C" __global__ __aicore__ void test_list_total(GM_ADDR parts, GM_ADDR totalIn, GM_ADDR total, GM_ADDR workspace,
                                                      GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(ListTotalTiling, tilingData, tiling);
  const uint32_t count = tilingData.count;
  GlobalTensor<uint64_t> list;
  list.SetGlobalBuffer(reinterpret_cast<__gm__ uint64_t*>(parts));
  const uint64_t addresses = list.GetValue(0) / sizeof(uint64_t);
  const DataCopyExtParams params(1, count * sizeof(float), 0, 0, 0);
  const DataCopyPadExtParams<float> noPadding(false, 0, 0, 0);

  TPipe pipe;
  TQue<TPosition::VECIN, 2> input;
  TQue<TPosition::VECOUT, 1> output;
  const uint32_t bytes = (count * sizeof(float) + 31) / 32 * 32;
  pipe.InitBuffer(input, 2, bytes);
  pipe.InitBuffer(output, 1, bytes);
  LocalTensor<float> sum = output.AllocTensor<float>();
  Duplicate(sum, 0.0f, static_cast<int32_t>(count));
  for (uint32_t i = 0; i <= tilingData.tensors; ++i) {
    GlobalTensor<float> source;
    source.SetGlobalBuffer(i < tilingData.tensors ? reinterpret_cast<__gm__ float*>(list.GetValue(addresses + i))
                                                  : reinterpret_cast<__gm__ float*>(totalIn));
    LocalTensor<float> part = input.AllocTensor<float>();
    DataCopyPad(part, source, params, noPadding);
    input.EnQue(part);
    part = input.DeQue<float>();
    PipeBarrier<PIPE_V>();
    Add(sum, sum, part, static_cast<int32_t>(count));
    input.FreeTensor(part);
  }
  output.EnQue(sum);
  sum = output.DeQue<float>();
  GlobalTensor<float> destination;
  destination.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(total));
  DataCopyPad(destination, sum, params);
  output.FreeTensor(sum);
}
