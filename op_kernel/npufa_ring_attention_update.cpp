// Kernel entry of npu_ring_attention_update.
#include "merge/ring_update.h"

extern "C" __global__ __aicore__ void npufa_ring_attention_update(GM_ADDR prevAttnOut, GM_ADDR prevSoftmaxMax,
                                                                  GM_ADDR prevSoftmaxSum, GM_ADDR curAttnOut,
                                                                  GM_ADDR curSoftmaxMax, GM_ADDR curSoftmaxSum,
                                                                  GM_ADDR actualSeqQlen, GM_ADDR attnOut,
                                                                  GM_ADDR softmaxMax, GM_ADDR softmaxSum,
                                                                  GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::RingUpdateTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::RingUpdateTiling, tilingData, tiling);
  const npufa::RingUpdateArguments arguments = {{prevAttnOut, curAttnOut},
                                                {prevSoftmaxMax, curSoftmaxMax},
                                                {prevSoftmaxSum, curSoftmaxSum},
                                                actualSeqQlen,
                                                attnOut,
                                                softmaxMax,
                                                softmaxSum};
  if (TILING_KEY_IS(0)) {
    npufa::RingUpdate<half> kernel;
    kernel.Run(arguments, tilingData);
  } else if (TILING_KEY_IS(1)) {
    npufa::RingUpdate<bfloat16_t> kernel;
    kernel.Run(arguments, tilingData);
  } else if (TILING_KEY_IS(2)) {
    npufa::RingUpdate<float> kernel;
    kernel.Run(arguments, tilingData);
  }
}
