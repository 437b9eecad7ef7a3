// Flash attention backward (Dao, arXiv 2307.08691) on one core group: the cube core recomputes scores and multiplies,
// the vector cores recompute probabilities. Each sum has one core group for an owner: results are repeatable.
#pragma once

#include "backward_cube.h"
#include "backward_output.h"
#include "backward_plan.h"
#include "backward_preparation.h"
#include "backward_vector.h"
#include "bias_gradient_output.h"
#include "sink_gradient.h"

namespace npufa {

// Local memory for the next part of the vector program.
__aicore__ inline void Renew(AscendC::TPipe& pipe) {
  pipe.Reset();
  AscendC::PipeBarrier<PIPE_ALL>();
}

template <typename T>
__aicore__ inline void StoreGradients(AscendC::TPipe& pipe, const BackwardArguments& arguments,
                                      const BackwardTiling& tiling, const BackwardWorkspace<T>& workspace,
                                      uint32_t core) {
  BackwardOutput<T> output;
  output.Init(pipe, tiling, arguments, workspace, core);
  output.Run();
  if (tiling.forward.biasKind != BIAS_NONE) {
    Renew(pipe);
    BiasGradientOutput<T> bias;
    bias.Init(pipe, tiling, workspace, arguments.biasGradient, core);
    bias.Run();
  }
  if (tiling.forward.hasSink) {
    Renew(pipe);
    SinkGradient<T> sink;
    sink.Init(pipe, tiling, arguments, workspace, core);
    sink.Run();
  }
}

template <typename T>
__aicore__ inline void RunBackward(const BackwardArguments& arguments, const BackwardTiling& given) {
  BackwardTiling planned;
  if (given.forward.sequences.lengthsOnDevice) {
    planned = given;
    BackwardPlan plan;
    plan.Fill(planned, arguments.sequences);
  }
  const BackwardTiling& tiling = given.forward.sequences.lengthsOnDevice ? planned : given;
  AscendC::TPipe pipe;
  constexpr uint32_t vectorsPerCube = 2;
  const uint32_t core = static_cast<uint32_t>(AscendC::GetBlockIdx());
  uint32_t group = core;
  if ASCEND_IS_AIV {
    group /= vectorsPerCube;
  }
  BackwardWorkspace<T> workspace;
  workspace.Init(arguments.workspace, tiling, group);
  BackwardSchedule schedule;
  schedule.Init(tiling, arguments.sequences, group);
  if ASCEND_IS_AIV {
    BackwardPreparation<T> preparation;
    preparation.Init(pipe, tiling, arguments, workspace, core);
    preparation.Run();
    Renew(pipe);
  }
  AscendC::SyncAll<false>();
  if ASCEND_IS_AIC {
    BackwardCube<T> cube;
    cube.Init(pipe, tiling, arguments, workspace);
    cube.Run(schedule);
  }
  if ASCEND_IS_AIV {
    BackwardVector<T> vector;
    vector.Init(pipe, tiling, arguments, workspace, core);
    vector.Run(schedule);
    Renew(pipe);
  }
  AscendC::SyncAll<false>();
  if ASCEND_IS_AIV {
    StoreGradients<T>(pipe, arguments, tiling, workspace, core);
  }
}

}  // namespace npufa
