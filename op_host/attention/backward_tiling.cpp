#include "backward_tiling.h"

#include <algorithm>
#include <cstring>

#include "backward_work.h"

namespace npufa {

namespace {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

constexpr std::uint32_t AlignUp(std::int64_t value, std::int64_t unit) {
  return static_cast<std::uint32_t>((value + unit - 1) / unit * unit);
}

// Rows of gradients lie apart by whole 256 bytes, which transfers like best.
void SetGradients(const Spec& spec, BackwardTiling& tiling) {
  constexpr std::int64_t kUnit = 64;
  tiling.ropeColumn = AlignUp(spec.head_dim, kUnit);
  tiling.queryPitch = tiling.ropeColumn + AlignUp(spec.rope_dim, kUnit);
  tiling.valuePitch = AlignUp(spec.value_dim, kUnit);
  const auto batches = static_cast<std::uint64_t>(spec.IsPackedBatch() ? 1 : spec.batch);
  const std::uint64_t query_rows = batches * static_cast<std::uint64_t>(spec.heads * spec.q_tokens);
  const std::uint64_t key_rows = batches * static_cast<std::uint64_t>(spec.kv_heads * spec.kv_tokens);
  tiling.queryFloats = query_rows * tiling.queryPitch;
  tiling.keyFloats = key_rows * tiling.queryPitch;
  tiling.valueFloats = key_rows * tiling.valuePitch;
  tiling.statisticFloats = query_rows * STATISTIC_WIDTH;
}

// Biases that sequences share are summed in the end: each sequence gets a copy of the gradient in the workspace.
void SetBiasGradient(const Call& call, const Spec& spec, BackwardTiling& tiling) {
  if (spec.pse == PseForm::kNone) return;
  constexpr std::uint64_t kBytes = 512;
  const TensorStrides& strides = tiling.forward.bias;
  tiling.biasElements = static_cast<std::uint64_t>(call.pse.Numel());
  const bool matrix = spec.pse == PseForm::kFull && strides.token > 0, compressed = spec.pse == PseForm::kCompressed;
  if (!matrix) {
    const std::int64_t sums = call.pse.Numel() / (compressed ? kAlibiRows : 1);
    tiling.biasSumFloats = AlignUp(sums, STATISTIC_WIDTH);
  }
  if ((matrix || compressed) && strides.batch == 0 && spec.batch > 1) {
    const std::uint64_t item = spec.dtype == DType::kFloat32 ? sizeof(float) : sizeof(std::uint16_t);
    tiling.biasParts = static_cast<std::uint64_t>(spec.batch);
    tiling.biasPartBytes = (tiling.biasParts * tiling.biasElements * item + kBytes - 1) / kBytes * kBytes;
  }
}

std::uint64_t ScoreBytes(std::uint32_t key_block) {
  return std::uint64_t{2} * BACKWARD_SLOTS * BACKWARD_STEP_ROWS * key_block * sizeof(float);
}

std::uint64_t WorkspaceOf(const BackwardTiling& tiling) {
  return (tiling.queryFloats + tiling.keyFloats + tiling.valueFloats + tiling.copyFloats + 3 * tiling.statisticFloats +
          2 * tiling.cores * tiling.biasSumFloats) *
             sizeof(float) +
         tiling.biasPartBytes + tiling.cores * tiling.scoreBytes;
}

}  // namespace

std::uint64_t BackwardWorkspaceForAnyLengths(const Spec& spec, const ChipLimits& chip, BackwardTiling tiling) {
  tiling.cores = std::min(chip.cube_cores, MAX_CORE_GROUPS);
  tiling.scoreBytes = ScoreBytes(LargestKeyBlock(spec));
  // Every group of cores but the first may continue the longest sequence.
  const auto rows = static_cast<std::uint64_t>(spec.heads / spec.kv_heads * spec.q_tokens);
  tiling.copyFloats = (tiling.cores - 1) * rows * tiling.queryPitch;
  return WorkspaceOf(tiling);
}

BackwardLaunch FillBackwardTiling(const Call& call, const Spec& spec, float scale, const ChipLimits& chip,
                                  BackwardTiling& tiling) {
  std::memset(&tiling, 0, sizeof tiling);
  BackwardLaunch launch = FillTiling(call, spec, scale, chip, tiling.forward);
  tiling.forward.chunkFloats = spec.dtype == DType::kFloat32 ? 2048 : 4096;
  SetGradients(spec, tiling);
  SetBiasGradient(call, spec, tiling);
  FillBackwardWork(call, spec, chip, tiling);
  tiling.scoreBytes = ScoreBytes(tiling.keyBlock);
  launch.block_dim = tiling.cores;
  launch.workspace_bytes = WorkspaceOf(tiling);
  launch.waits_for_all = true;
  return launch;
}

}  // namespace npufa
