// Kernel entry of npu_gather_pa_kv_cache; keys and values are outputs as well.
#include "cache/gather.h"

extern "C" __global__ __aicore__ void npufa_gather_pa_kv_cache(GM_ADDR keyCache, GM_ADDR valueCache,
                                                               GM_ADDR blockTables, GM_ADDR seqLens, GM_ADDR key,
                                                               GM_ADDR value, GM_ADDR seqOffset, GM_ADDR keyRef,
                                                               GM_ADDR valueRef, GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::GatherTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::GatherTiling, tilingData, tiling);
  npufa::Gather kernel;
  kernel.Run(keyCache, valueCache, blockTables, seqLens, key, value, seqOffset, tilingData);
}
