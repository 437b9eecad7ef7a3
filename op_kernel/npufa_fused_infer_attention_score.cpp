// Kernel entry of npu_fused_infer_attention_score.
#include "attention/forward/forward_dispatch.h"

extern "C" __global__ __aicore__ void npufa_fused_infer_attention_score(
    GM_ADDR query, GM_ADDR key, GM_ADDR value, GM_ADDR pseShift, GM_ADDR attenMask, GM_ADDR actualSeqLengths,
    GM_ADDR actualSeqLengthsKv, GM_ADDR dequantScale1, GM_ADDR quantScale1, GM_ADDR dequantScale2, GM_ADDR quantScale2,
    GM_ADDR quantOffset2, GM_ADDR antiquantScale, GM_ADDR antiquantOffset, GM_ADDR blockTable, GM_ADDR queryPaddingSize,
    GM_ADDR kvPaddingSize, GM_ADDR keyAntiquantScale, GM_ADDR keyAntiquantOffset, GM_ADDR valueAntiquantScale,
    GM_ADDR valueAntiquantOffset, GM_ADDR keySharedPrefix, GM_ADDR valueSharedPrefix, GM_ADDR actualSharedPrefixLen,
    GM_ADDR queryRope, GM_ADDR keyRope, GM_ADDR learnableSink, GM_ADDR actualSeqLengthsTensor,
    GM_ADDR actualSeqLengthsKvTensor, GM_ADDR dequantScaleQuery, GM_ADDR attentionOut, GM_ADDR softmaxLse,
    GM_ADDR workspace, GM_ADDR tiling) {
  REGISTER_TILING_DEFAULT(npufa::ForwardTiling);
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  GET_TILING_DATA_WITH_STRUCT(npufa::ForwardTiling, tilingData, tiling);
  npufa::ForwardArguments arguments = {};
  arguments.sequences.qLengths = npufa::Either(actualSeqLengths, actualSeqLengthsTensor);
  arguments.sequences.kvLengths = npufa::Either(actualSeqLengthsKv, actualSeqLengthsKvTensor);
  arguments.sequences.qPadding = queryPaddingSize;
  arguments.sequences.kvPadding = kvPaddingSize;
  arguments.query = query;
  arguments.key = key;
  arguments.value = value;
  arguments.queryRope = queryRope;
  arguments.keyRope = keyRope;
  arguments.keyPrefix = keySharedPrefix;
  arguments.valuePrefix = valueSharedPrefix;
  arguments.blockTable = blockTable;
  arguments.bias = pseShift;
  arguments.mask = attenMask;
  arguments.sink = learnableSink;
  // One tensor for key and value, or one for each.
  const bool combined = antiquantScale != nullptr;
  arguments.keyScale = combined ? antiquantScale : keyAntiquantScale;
  arguments.keyOffset = combined ? antiquantOffset : keyAntiquantOffset;
  arguments.valueScale = combined ? antiquantScale : valueAntiquantScale;
  arguments.valueOffset = combined ? antiquantOffset : valueAntiquantOffset;
  // Beside a quantised query key and value have one scale each.
  const bool quantisedQuery = dequantScaleQuery != nullptr;
  arguments.queryScale = dequantScaleQuery;
  arguments.dequantScale1 = quantisedQuery ? keyAntiquantScale : dequantScale1;
  arguments.quantScale1 = quantScale1;
  arguments.dequantScale2 = quantisedQuery ? valueAntiquantScale : dequantScale2;
  arguments.outputScale = quantScale2;
  arguments.outputOffset = quantOffset2;
  arguments.output = attentionOut;
  arguments.softmaxLse = softmaxLse;
  arguments.workspace = AscendC::GetUserWorkspace(workspace);
  NPUFA_RUN_FORWARD(arguments, tilingData);
  NPUFA_RUN_FORWARD_INT8(arguments, tilingData);
  NPUFA_RUN_FORWARD_FLOAT8(arguments, tilingData);
  NPUFA_RUN_FORWARD_INT4(arguments, tilingData);
}
