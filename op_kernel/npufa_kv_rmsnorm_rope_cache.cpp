// Kernel entry of npu_kv_rmsnorm_rope_cache; the caches are outputs as well.
#include "rotary/kv_rmsnorm_rope.h"

extern "C" __global__ __aicore__ void npufa_kv_rmsnorm_rope_cache(
    GM_ADDR kv, GM_ADDR gamma, GM_ADDR cos, GM_ADDR sin, GM_ADDR index, GM_ADDR kCache, GM_ADDR ckvCache,
    GM_ADDR kRopeScale, GM_ADDR cKvScale, GM_ADDR kRopeOffset, GM_ADDR cKvOffset, GM_ADDR v, GM_ADDR kCacheRef,
    GM_ADDR ckvCacheRef, GM_ADDR kEmbedOut, GM_ADDR yOut, GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::KvRmsnormRopeTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::KvRmsnormRopeTiling, tilingData, tiling);
  const npufa::KvRmsnormRopeArguments arguments = {kv,
                                                   v,
                                                   gamma,
                                                   cos,
                                                   sin,
                                                   index,
                                                   {kCache, kRopeScale, kRopeOffset, kEmbedOut},
                                                   {ckvCache, cKvScale, cKvOffset, yOut}};
  if (TILING_KEY_IS(0)) {
    npufa::KvRmsnormRope<half> kernel;
    kernel.Run(arguments, tilingData);
  } else if (TILING_KEY_IS(1)) {
    npufa::KvRmsnormRope<bfloat16_t> kernel;
    kernel.Run(arguments, tilingData);
  } else if (TILING_KEY_IS(2)) {
    npufa::KvRmsnormRope<float> kernel;
    kernel.Run(arguments, tilingData);
  }
}
