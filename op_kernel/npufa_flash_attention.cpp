// Kernel entry of the training operators' forward pass.
#include "attention/forward/forward_dispatch.h"

extern "C" __global__ __aicore__ void npufa_flash_attention(
    GM_ADDR query, GM_ADDR key, GM_ADDR value, GM_ADDR pse, GM_ADDR dropoutMask, GM_ADDR attenMask, GM_ADDR prefix,
    GM_ADDR actualSeqQlen, GM_ADDR actualSeqKvlen, GM_ADDR qStartIdx, GM_ADDR kvStartIdx, GM_ADDR queryRope,
    GM_ADDR keyRope, GM_ADDR sink, GM_ADDR actualSeqQlenTensor, GM_ADDR actualSeqKvlenTensor, GM_ADDR softmaxMax,
    GM_ADDR softmaxSum, GM_ADDR attentionOut, GM_ADDR workspace, GM_ADDR tiling) {
  REGISTER_TILING_DEFAULT(npufa::ForwardTiling);
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  GET_TILING_DATA_WITH_STRUCT(npufa::ForwardTiling, tilingData, tiling);
  npufa::ForwardArguments arguments = {};
  arguments.sequences.qLengths = npufa::Either(actualSeqQlen, actualSeqQlenTensor);
  arguments.sequences.kvLengths = npufa::Either(actualSeqKvlen, actualSeqKvlenTensor);
  arguments.sequences.prefix = prefix;
  arguments.query = query;
  arguments.key = key;
  arguments.value = value;
  arguments.queryRope = queryRope;
  arguments.keyRope = keyRope;
  arguments.bias = pse;
  arguments.mask = attenMask;
  arguments.dropoutMask = dropoutMask;
  arguments.sink = sink;
  arguments.output = attentionOut;
  arguments.softmaxMax = softmaxMax;
  arguments.softmaxSum = softmaxSum;
  arguments.workspace = AscendC::GetUserWorkspace(workspace);
  NPUFA_RUN_FORWARD(arguments, tilingData);
}
