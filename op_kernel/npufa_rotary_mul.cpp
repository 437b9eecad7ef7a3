// Kernel entry of npu_rotary_mul, its derivative and npu_interleave_rope.
#include "rotary/rotary_mul.h"

extern "C" __global__ __aicore__ void npufa_rotary_mul(GM_ADDR input, GM_ADDR r1, GM_ADDR r2, GM_ADDR output,
                                                       GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::RotaryTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::RotaryTiling, tilingData, tiling);
  if (TILING_KEY_IS(0)) {
    npufa::RotaryMul<half> kernel;
    kernel.Run(input, r1, r2, output, tilingData);
  } else if (TILING_KEY_IS(1)) {
    npufa::RotaryMul<bfloat16_t> kernel;
    kernel.Run(input, r1, r2, output, tilingData);
  } else if (TILING_KEY_IS(2)) {
    npufa::RotaryMul<float> kernel;
    kernel.Run(input, r1, r2, output, tilingData);
  }
}
