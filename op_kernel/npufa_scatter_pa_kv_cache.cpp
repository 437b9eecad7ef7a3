// Kernel entry of npu_scatter_pa_kv_cache; the caches are outputs as well.
#include "cache/scatter.h"

extern "C" __global__ __aicore__ void npufa_scatter_pa_kv_cache(GM_ADDR key, GM_ADDR value, GM_ADDR keyCache,
                                                                GM_ADDR valueCache, GM_ADDR slotMapping,
                                                                GM_ADDR keyCacheRef, GM_ADDR valueCacheRef,
                                                                GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::ScatterTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::ScatterTiling, tilingData, tiling);
  npufa::Scatter kernel;
  kernel.Run(key, value, keyCache, valueCache, slotMapping, tilingData);
}
