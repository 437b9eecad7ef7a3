// Kernel entry of npu_incre_flash_attention.
#include "attention/forward/forward_dispatch.h"

extern "C" __global__ __aicore__ void npufa_incre_flash_attention(
    GM_ADDR query, GM_ADDR key, GM_ADDR value, GM_ADDR pseShift, GM_ADDR attenMask, GM_ADDR actualSeqLengths,
    GM_ADDR dequantScale1, GM_ADDR quantScale1, GM_ADDR dequantScale2, GM_ADDR quantScale2, GM_ADDR quantOffset2,
    GM_ADDR antiquantScale, GM_ADDR antiquantOffset, GM_ADDR blockTable, GM_ADDR kvPaddingSize,
    GM_ADDR actualSeqLengthsTensor, GM_ADDR attentionOut, GM_ADDR workspace, GM_ADDR tiling) {
  REGISTER_TILING_DEFAULT(npufa::ForwardTiling);
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  GET_TILING_DATA_WITH_STRUCT(npufa::ForwardTiling, tilingData, tiling);
  npufa::ForwardArguments arguments = {};
  arguments.sequences.kvLengths = npufa::Either(actualSeqLengths, actualSeqLengthsTensor);
  arguments.sequences.kvPadding = kvPaddingSize;
  arguments.query = query;
  arguments.key = key;
  arguments.value = value;
  arguments.blockTable = blockTable;
  arguments.bias = pseShift;
  arguments.mask = attenMask;
  arguments.keyScale = antiquantScale;
  arguments.keyOffset = antiquantOffset;
  arguments.valueScale = antiquantScale;
  arguments.valueOffset = antiquantOffset;
  arguments.dequantScale1 = dequantScale1;
  arguments.quantScale1 = quantScale1;
  arguments.dequantScale2 = dequantScale2;
  arguments.outputScale = quantScale2;
  arguments.outputOffset = quantOffset2;
  arguments.output = attentionOut;
  arguments.workspace = AscendC::GetUserWorkspace(workspace);
  NPUFA_RUN_FORWARD(arguments, tilingData);
  NPUFA_RUN_FORWARD_INT8(arguments, tilingData);
  NPUFA_RUN_FORWARD_FLOAT8(arguments, tilingData);
  NPUFA_RUN_FORWARD_INT4(arguments, tilingData);
}
