// Kernel entry of npu_prompt_flash_attention.
#include "attention/forward/forward_dispatch.h"

extern "C" __global__ __aicore__ void npufa_prompt_flash_attention(
    GM_ADDR query, GM_ADDR key, GM_ADDR value, GM_ADDR pseShift, GM_ADDR attenMask, GM_ADDR actualSeqLengths,
    GM_ADDR actualSeqLengthsKv, GM_ADDR deqScale1, GM_ADDR quantScale1, GM_ADDR deqScale2, GM_ADDR quantScale2,
    GM_ADDR quantOffset2, GM_ADDR actualSeqLengthsTensor, GM_ADDR actualSeqLengthsKvTensor, GM_ADDR attentionOut,
    GM_ADDR workspace, GM_ADDR tiling) {
  REGISTER_TILING_DEFAULT(npufa::ForwardTiling);
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  GET_TILING_DATA_WITH_STRUCT(npufa::ForwardTiling, tilingData, tiling);
  npufa::ForwardArguments arguments = {};
  arguments.sequences.qLengths = npufa::Either(actualSeqLengths, actualSeqLengthsTensor);
  arguments.sequences.kvLengths = npufa::Either(actualSeqLengthsKv, actualSeqLengthsKvTensor);
  arguments.query = query;
  arguments.key = key;
  arguments.value = value;
  arguments.bias = pseShift;
  arguments.mask = attenMask;
  arguments.dequantScale1 = deqScale1;
  arguments.quantScale1 = quantScale1;
  arguments.dequantScale2 = deqScale2;
  arguments.outputScale = quantScale2;
  arguments.outputOffset = quantOffset2;
  arguments.output = attentionOut;
  arguments.workspace = AscendC::GetUserWorkspace(workspace);
  NPUFA_RUN_FORWARD(arguments, tilingData);
  NPUFA_RUN_FORWARD_INT8(arguments, tilingData);
}
