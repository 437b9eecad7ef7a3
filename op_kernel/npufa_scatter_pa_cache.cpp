// Kernel entry of npu_scatter_pa_cache; the cache is an output as well.
#include "cache/scatter.h"

extern "C" __global__ __aicore__ void npufa_scatter_pa_cache(GM_ADDR key, GM_ADDR keyCache, GM_ADDR slotMapping,
                                                             GM_ADDR keyCacheRef, GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::ScatterTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::ScatterTiling, tilingData, tiling);
  npufa::Scatter kernel;
  kernel.Run(key, nullptr, keyCache, nullptr, slotMapping, tilingData);
}
