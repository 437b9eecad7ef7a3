// Kernel entry of npu_prompt_flash_attention: picks the variant by tiling key.
#include "attention/forward.h"

using namespace npufa;

extern "C" __global__ __aicore__ void npufa_prompt_flash_attention(
    GM_ADDR query, GM_ADDR key, GM_ADDR value, GM_ADDR pseShift, GM_ADDR attenMask, GM_ADDR actualSeqLengths,
    GM_ADDR actualSeqLengthsKv, GM_ADDR deqScale1, GM_ADDR quantScale1, GM_ADDR deqScale2, GM_ADDR quantScale2,
    GM_ADDR quantOffset2, GM_ADDR attentionOut, GM_ADDR workspace, GM_ADDR tiling) {
  REGISTER_TILING_DEFAULT(npufa::ForwardTiling);
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  GET_TILING_DATA_WITH_STRUCT(npufa::ForwardTiling, tilingData, tiling);
  const ForwardArguments arguments = {query,       key,         value, pseShift,     attenMask, actualSeqLengths,
                                      actualSeqLengthsKv, attentionOut, AscendC::GetUserWorkspace(workspace)};
  if (TILING_KEY_IS(0)) {
    RunForward<half, false, false>(arguments, tilingData);
  } else if (TILING_KEY_IS(1)) {
    RunForward<bfloat16_t, false, false>(arguments, tilingData);
  } else if (TILING_KEY_IS(10)) {
    RunForward<half, true, false>(arguments, tilingData);
  } else if (TILING_KEY_IS(11)) {
    RunForward<bfloat16_t, true, false>(arguments, tilingData);
  } else if (TILING_KEY_IS(100)) {
    RunForward<half, false, true>(arguments, tilingData);
  } else if (TILING_KEY_IS(101)) {
    RunForward<bfloat16_t, false, true>(arguments, tilingData);
  } else if (TILING_KEY_IS(110)) {
    RunForward<half, true, true>(arguments, tilingData);
  } else if (TILING_KEY_IS(111)) {
    RunForward<bfloat16_t, true, true>(arguments, tilingData);
  }
}
