// Mask of bits for dropout: one bit per element, set where the element is kept.
#include "dropout/dropout_mask.h"

extern "C" __global__ __aicore__ void npufa_dropout_mask(GM_ADDR elementsSeedOffset, GM_ADDR seed, GM_ADDR offset,
                                                         GM_ADDR mask, GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::DropoutTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::DropoutTiling, tilingData, tiling);
  npufa::DropoutMask kernel;
  kernel.Run(seed, offset, mask, tilingData);
}
