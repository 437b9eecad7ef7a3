// Kernel entry of the gradients of npu_fusion_attention: picks the variant by tiling key.
#include "attention/backward/backward.h"

using namespace npufa;

extern "C" __global__ __aicore__ void npufa_flash_attention_grad(
    GM_ADDR query, GM_ADDR key, GM_ADDR value, GM_ADDR dy, GM_ADDR pse, GM_ADDR dropMask, GM_ADDR attenMask,
    GM_ADDR softmaxMax, GM_ADDR softmaxSum, GM_ADDR attentionIn, GM_ADDR prefix, GM_ADDR actualSeqQlen,
    GM_ADDR actualSeqKvlen, GM_ADDR queryRope, GM_ADDR keyRope, GM_ADDR sink, GM_ADDR qStartIdx, GM_ADDR kvStartIdx,
    GM_ADDR actualSeqQlenTensor, GM_ADDR actualSeqKvlenTensor, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv, GM_ADDR dpse,
    GM_ADDR dqRope, GM_ADDR dkRope, GM_ADDR dsink, GM_ADDR workspace, GM_ADDR tiling) {
  REGISTER_TILING_DEFAULT(npufa::BackwardTiling);
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  GET_TILING_DATA_WITH_STRUCT(npufa::BackwardTiling, tilingData, tiling);
  BackwardArguments arguments = {};
  arguments.sequences.qLengths = Either(actualSeqQlen, actualSeqQlenTensor);
  arguments.sequences.kvLengths = Either(actualSeqKvlen, actualSeqKvlenTensor);
  arguments.sequences.prefix = prefix;
  arguments.query = query;
  arguments.key = key;
  arguments.value = value;
  arguments.queryRope = queryRope;
  arguments.keyRope = keyRope;
  arguments.gradient = dy;
  arguments.bias = pse;
  arguments.dropoutMask = dropMask;
  arguments.mask = attenMask;
  arguments.softmaxMax = softmaxMax;
  arguments.softmaxSum = softmaxSum;
  arguments.output = attentionIn;
  arguments.sink = sink;
  arguments.queryGradient = dq;
  arguments.keyGradient = dk;
  arguments.valueGradient = dv;
  arguments.biasGradient = dpse;
  arguments.queryRopeGradient = dqRope;
  arguments.keyRopeGradient = dkRope;
  arguments.sinkGradient = dsink;
  arguments.workspace = AscendC::GetUserWorkspace(workspace);
  if (TILING_KEY_IS(0)) {
    RunBackward<half>(arguments, tilingData);
  } else if (TILING_KEY_IS(1)) {
    RunBackward<bfloat16_t>(arguments, tilingData);
  } else if (TILING_KEY_IS(2)) {
    RunBackward<float>(arguments, tilingData);
  }
}
