// Kernel entry of npu_advance_step_flashattn; four inputs are outputs as well.
#include "advance_step/advance_step.h"

extern "C" __global__ __aicore__ void npufa_advance_step_flashattn(
    GM_ADDR inputTokens, GM_ADDR sampledTokenIds, GM_ADDR inputPositions, GM_ADDR seqLens, GM_ADDR slotMapping,
    GM_ADDR blockTables, GM_ADDR specToken, GM_ADDR acceptedNum, GM_ADDR inputTokensRef, GM_ADDR inputPositionsRef,
    GM_ADDR seqLensRef, GM_ADDR slotMappingRef, GM_ADDR workspace, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(npufa::AdvanceStepTiling);
  GET_TILING_DATA_WITH_STRUCT(npufa::AdvanceStepTiling, tilingData, tiling);
  const npufa::AdvanceStepArguments arguments = {inputTokens, sampledTokenIds, inputPositions, seqLens,
                                                 slotMapping, blockTables,     specToken,      acceptedNum};
  npufa::AdvanceStep kernel;
  kernel.Run(arguments, tilingData);
}
