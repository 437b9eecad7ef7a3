// Flash attention forward on one core group: scores and products on the cube core, softmax on the two vector cores.
#pragma once

#include "../softmax/combine.h"
#include "forward_cube.h"
#include "forward_cube_wide.h"
#include "forward_plan.h"
#include "forward_vector.h"

namespace npufa {

// Device addresses of a call; what it does not have may be null.
struct ForwardArguments {
  SequenceArguments sequences;
  GM_ADDR query;
  GM_ADDR key;
  GM_ADDR value;
  GM_ADDR queryRope;
  GM_ADDR keyRope;
  GM_ADDR keyPrefix;
  GM_ADDR valuePrefix;
  GM_ADDR blockTable;
  GM_ADDR bias;
  GM_ADDR mask;
  GM_ADDR dropoutMask;
  GM_ADDR sink;
  GM_ADDR keyScale;
  GM_ADDR keyOffset;
  GM_ADDR valueScale;
  GM_ADDR valueOffset;
  GM_ADDR dequantScale1;
  GM_ADDR quantScale1;
  GM_ADDR queryScale;
  GM_ADDR dequantScale2;
  GM_ADDR outputScale;
  GM_ADDR outputOffset;
  GM_ADDR output;
  GM_ADDR softmaxMax;
  GM_ADDR softmaxSum;
  GM_ADDR softmaxLse;
  GM_ADDR workspace;
};

__aicore__ inline CubeArguments CubeArgumentsOf(const ForwardArguments& a) {
  return {a.query, a.key, a.value, a.queryRope, a.keyRope, a.keyPrefix, a.valuePrefix, a.blockTable};
}
__aicore__ inline OutputArguments OutputArgumentsOf(const ForwardArguments& a) {
  return {a.output,       a.softmaxMax,    a.softmaxSum,
          a.softmaxLse,   a.sink,          a.outputScale,
          a.outputOffset, a.dequantScale2, {a.valueScale, a.valueOffset}};
}
__aicore__ inline VectorArguments VectorArgumentsOf(const ForwardArguments& a) {
  return {a.bias,
          a.mask,
          a.dropoutMask,
          a.dequantScale1,
          a.quantScale1,
          a.queryScale,
          OutputArgumentsOf(a),
          {a.query,
           a.key,
           a.value,
           a.keyPrefix,
           a.valuePrefix,
           a.blockTable,
           {a.keyScale, a.keyOffset},
           {a.valueScale, a.valueOffset}}};
}

// Whether tiles are cut.
__aicore__ inline bool HasCuts(const ForwardTiling& tiling) {
  if (tiling.pieceBlocks > 0) return true;
  for (uint32_t group = 1; group < tiling.cores; ++group) {
    if (tiling.start[group].keyBlock > 0) return true;
  }
  return false;
}

template <typename T, typename Stored>
__aicore__ inline void RunCombine(AscendC::TPipe& pipe, const ForwardArguments& arguments, const ForwardTiling& tiling,
                                  const Workspace<T, Stored>& workspace) {
  AscendC::PipeBarrier<PIPE_ALL>();
  pipe.Reset();
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue;
  pipe.InitBuffer(outQueue, 2, tiling.chunkFloats * sizeof(T));
  NumberReader reader;
  reader.Init(pipe, NumberCapacity(tiling));
  RowOutput<T, Stored> output;
  output.Init(pipe, tiling, OutputArgumentsOf(arguments), outQueue, reader);
  Combine<T, Stored> combine;
  combine.Init(pipe, tiling, arguments.sequences, workspace, output);
  combine.Run(static_cast<uint32_t>(AscendC::GetBlockIdx()), VECTORS_PER_CUBE * tiling.cores);
}

template <typename Stages, uint32_t AHEAD, typename Memory>
__aicore__ inline void RunCube(AscendC::TPipe& pipe, Schedule& schedule, const ForwardArguments& arguments,
                               const ForwardTiling& tiling, const Memory& workspace) {
  Stages stages;
  stages.Init(pipe, tiling, CubeArgumentsOf(arguments), workspace);
  Pipeline<AHEAD, Stages>(schedule, stages).Run();
}

// T: type of the arithmetic; Stored: of keys and values (and of queries where int8Products), or Int8Digits.
template <typename T, typename Stored>
__aicore__ inline void RunForward(const ForwardArguments& arguments, const ForwardTiling& given) {
  constexpr uint32_t AHEAD = SameType<T, Stored>::value ? 0 : 1;
  ForwardTiling planned;
  if (given.sequences.lengthsOnDevice) {
    planned = given;
    ForwardPlan plan;
    plan.Fill(planned, arguments.sequences);
  }
  const ForwardTiling& tiling = given.sequences.lengthsOnDevice ? planned : given;
  AscendC::TPipe pipe;
  uint32_t group = static_cast<uint32_t>(AscendC::GetBlockIdx());
  if ASCEND_IS_AIV {
    group /= VECTORS_PER_CUBE;
  }
  Workspace<T, Stored> workspace;
  workspace.Init(arguments.workspace, tiling, group);
  Schedule schedule;
  schedule.Init(tiling, arguments.sequences, group);
  if ASCEND_IS_AIC {
    if (ForwardCubeWide<T, Stored>::Suits(tiling)) {
      RunCube<ForwardCubeWide<T, Stored>, AHEAD>(pipe, schedule, arguments, tiling, workspace);
    } else {
      RunCube<ForwardCube<T, Stored>, AHEAD>(pipe, schedule, arguments, tiling, workspace);
    }
  }
  if ASCEND_IS_AIV {
    ForwardVector<T, Stored> stages;
    stages.Init(pipe, tiling, VectorArgumentsOf(arguments), workspace,
                static_cast<uint32_t>(AscendC::GetSubBlockIdx()));
    Pipeline<AHEAD, ForwardVector<T, Stored>>(schedule, stages).Run();
    if (HasCuts(tiling)) RunCombine<T, Stored>(pipe, arguments, tiling, workspace);
  }
}

}  // namespace npufa
