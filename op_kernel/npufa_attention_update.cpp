// Kernel entry of npu_attention_update.
#include "merge/attention_update.h"

extern "C" __global__ __aicore__ void npufa_attention_update(GM_ADDR lse, GM_ADDR localOut, GM_ADDR out, GM_ADDR lseOut,
                                                             GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::AttentionUpdateTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::AttentionUpdateTiling, tilingData, tiling);
  if (TILING_KEY_IS(0)) {
    npufa::AttentionUpdate<half> kernel;
    kernel.Run(lse, localOut, out, lseOut, tilingData);
  } else if (TILING_KEY_IS(1)) {
    npufa::AttentionUpdate<bfloat16_t> kernel;
    kernel.Run(lse, localOut, out, lseOut, tilingData);
  } else if (TILING_KEY_IS(2)) {
    npufa::AttentionUpdate<float> kernel;
    kernel.Run(lse, localOut, out, lseOut, tilingData);
  }
}
