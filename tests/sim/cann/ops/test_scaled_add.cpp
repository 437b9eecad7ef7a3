#include "kernel_operator.h"
#include "scaled_add_tiling.h"

using namespace AscendC;

struct Tensors {
  GM_ADDR x;
  GM_ADDR y;
  GM_ADDR out;
  GM_ADDR workspace;
};

// Every core: its elements through the workspace to the output.
template <typename T, bool subtract>
__aicore__ inline void ScaledAdd(const Tensors& tensors, const ScaledAddTiling& tiling, uint32_t surplus) {
  const uint32_t first = GetBlockIdx() * tiling.perBlock;
  const uint32_t left = tiling.count - first;
  const uint32_t count = left < tiling.perBlock ? left : tiling.perBlock;
  const DataCopyExtParams params(1, count * sizeof(T), 0, 0, 0);
  const DataCopyPadExtParams<T> noPadding(false, 0, 0, 0);

  GlobalTensor<T> x, y, out, staged;
  x.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(tensors.x) + first);
  out.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(tensors.out) + first);
  staged.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(tensors.workspace) + first);

  TPipe pipe;
  TQue<TPosition::VECIN, 1> input;
  TQue<TPosition::VECOUT, 1> output;
  const uint32_t bytes = (count * sizeof(T) + 31) / 32 * 32;
  pipe.InitBuffer(input, 1, bytes);
  pipe.InitBuffer(output, 1, bytes);

  LocalTensor<T> in = input.AllocTensor<T>();
  DataCopyPad(in, x, params, noPadding);
  input.EnQue(in);
  in = input.DeQue<T>();
  LocalTensor<T> sum = output.AllocTensor<T>();
  Muls(sum, in, static_cast<T>(tiling.scale), static_cast<int32_t>(count));
  PipeBarrier<PIPE_V>();
  Adds(sum, sum, static_cast<T>(tiling.offset), static_cast<int32_t>(count));
  PipeBarrier<PIPE_V>();
  input.FreeTensor(in);
  if (tiling.hasY) {
    y.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(tensors.y) + first);
    in = input.AllocTensor<T>();
    DataCopyPad(in, y, params, noPadding);
    input.EnQue(in);
    in = input.DeQue<T>();
    if constexpr (subtract) {
      Sub(sum, sum, in, static_cast<int32_t>(count));
    } else {
      Add(sum, sum, in, static_cast<int32_t>(count));
    }
    input.FreeTensor(in);
  }
  output.EnQue(sum);
  sum = output.DeQue<T>();
  DataCopyPad(staged, sum, params);
  const DataCopyExtParams last(1, (count + surplus) * sizeof(T), 0, 0, 0);
  DataCopyPad(out, sum, last);
  output.FreeTensor(sum);
}

extern "C" __global__ __aicore__ void test_scaled_add(GM_ADDR x, GM_ADDR y, GM_ADDR extraAddends, GM_ADDR out,
                                                      GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(ScaledAddTiling, tilingData, tiling);
  const Tensors tensors = {x, y, out, workspace};
  if (TILING_KEY_IS(0)) {
    ScaledAdd<float, false>(tensors, tilingData, 0);
  } else if (TILING_KEY_IS(1)) {
    ScaledAdd<float, true>(tensors, tilingData, 0);
  } else if (TILING_KEY_IS(2)) {
    ScaledAdd<float, false>(tensors, tilingData, 1);
  } else if (TILING_KEY_IS(10)) {
    ScaledAdd<half, false>(tensors, tilingData, 0);
  } else if (TILING_KEY_IS(11)) {
    ScaledAdd<half, true>(tensors, tilingData, 0);
  }
}
