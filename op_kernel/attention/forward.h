// Flash attention forward on one core group: scores and products on the cube core, softmax on the two vector cores.
#pragma once

#include "forward_cube.h"
#include "forward_vector.h"

namespace npufa {

struct ForwardArguments {
  GM_ADDR query;
  GM_ADDR key;
  GM_ADDR value;
  GM_ADDR bias;
  GM_ADDR mask;
  GM_ADDR qLengths;
  GM_ADDR kvLengths;
  GM_ADDR output;
  GM_ADDR workspace;
};

template <typename T, bool hasMask, bool hasBias>
__aicore__ inline void RunForward(const ForwardArguments& arguments, const ForwardTiling& tiling) {
  AscendC::TPipe pipe;
  constexpr uint32_t vectorsPerCube = 2;
  uint32_t group = static_cast<uint32_t>(AscendC::GetBlockIdx());
  if ASCEND_IS_AIV {
    group /= vectorsPerCube;
  }
  GroupWorkspace<T> workspace;
  workspace.Init(arguments.workspace, tiling, group);
  Schedule schedule;
  schedule.Init(tiling, arguments.qLengths, arguments.kvLengths, group);
  if ASCEND_IS_AIC {
    ForwardCube<T> stages;
    stages.Init(pipe, tiling, arguments.query, arguments.key, arguments.value, workspace);
    RunPipelined(schedule, stages);
  }
  if ASCEND_IS_AIV {
    ForwardVector<T, hasMask, hasBias> stages;
    stages.Init(pipe, tiling, arguments.bias, arguments.mask, arguments.output, workspace,
                static_cast<uint32_t>(AscendC::GetSubBlockIdx()));
    RunPipelined(schedule, stages);
  }
}

}  // namespace npufa
