#include "forward_tiling.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "common/work_partition.h"

namespace npufa {

namespace {

using Spec = AttentionSpec<std::int64_t>;

std::uint32_t Narrow(const char* op, const char* argument, std::int64_t value) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (value > most)
    Fail(op, argument, "has an extent beyond the kernel's 31-bit index", value, "at most " + Show(most));
  return static_cast<std::uint32_t>(value);
}

TensorStrides StridesOf(Layout layout, std::int64_t batch, std::int64_t tokens, std::int64_t heads,
                        std::int64_t channels) {
  const Axes axes = AxesOf(layout);
  const std::vector<std::int64_t> sizes = SizesOf(layout, batch, tokens, heads, channels);
  std::vector<std::uint64_t> steps(sizes.size());
  std::uint64_t step = 1;
  for (std::size_t axis = sizes.size(); axis-- > 0; step *= static_cast<std::uint64_t>(sizes[axis])) steps[axis] = step;
  const std::uint64_t head = axes.head >= 0 ? steps[axes.head] : static_cast<std::uint64_t>(channels);
  return {steps[axes.batch], head, steps[axes.token]};
}

// Strides of a tensor (..., rows, columns) whose leading axes may be missing or 1: those stand still.
TensorStrides BroadcastStrides(const TensorDesc<std::int64_t>& tensor) {
  const auto columns = static_cast<std::uint64_t>(tensor.Size(-1));
  const std::uint64_t matrix = columns * static_cast<std::uint64_t>(tensor.Size(-2));
  const std::int64_t heads = tensor.Dim() == 4 ? tensor.Size(1) : 1;
  const std::int64_t batches = tensor.Dim() > 2 ? tensor.Size(0) : 1;
  return {batches == 1 ? 0 : matrix * static_cast<std::uint64_t>(heads), heads == 1 ? 0 : matrix, columns};
}

std::uint32_t LengthSourceOf(const std::vector<std::int64_t>& lengths) {
  if (lengths.empty()) return LENGTH_FULL;
  return lengths.size() == 1 ? LENGTH_COMMON : LENGTH_EACH;
}

std::int64_t LengthOf(const std::vector<std::int64_t>& lengths, std::int64_t full, std::size_t batch) {
  if (lengths.empty()) return full;
  return lengths[lengths.size() == 1 ? 0 : batch];
}

void SetWindow(const SparseRule& rule, ForwardTiling* tiling) {
  // With lengths of 0 the corner is the origin: what remains of the band are the shifts themselves.
  const Band band = BandOf(rule, 0, 0, 0, 0, false);
  tiling->beginShift = band.begin_shift;
  tiling->endShift = band.end_shift;
  tiling->beginFollowsCorner = rule.mode == kBand;
  tiling->endFollowsCorner = rule.mode == kBand || rule.mode == kRightDownCausal;
}

void SetBias(const AttentionCall<std::int64_t>& call, const Spec& spec, ForwardTiling* tiling) {
  if (spec.pse == PseForm::kNone) return;
  tiling->bias = BroadcastStrides(call.pse);
  tiling->biasRows = spec.pse == PseForm::kCompressed ? BIAS_ROW_COMPRESSED
                     : call.pse.Size(2) == 1          ? BIAS_ROW_COMMON
                                                      : BIAS_ROW_EACH;
}

void SetWorkspace(ForwardTiling* tiling) {
  const std::uint64_t rows = std::uint64_t{PIPELINE_SLOTS} * tiling->tileRows;
  tiling->productPitch = (tiling->valueDim + CUBE_BLOCK - 1) / CUBE_BLOCK * CUBE_BLOCK;
  tiling->scoreBytes = rows * tiling->stepColumns * sizeof(float);
  tiling->probabilityBytes = rows * tiling->stepColumns * sizeof(std::uint16_t);
  tiling->productBytes = rows * tiling->productPitch * sizeof(float);
}

// Cost of a tile in blocks of keys, plus one for its own rows.
std::vector<std::uint64_t> TileCosts(const Spec& spec, const ForwardTiling& tiling, std::size_t batch) {
  const std::int64_t q_length = LengthOf(spec.q_lens, spec.q_tokens, batch);
  const std::int64_t kv_length = LengthOf(spec.kv_lens, spec.kv_tokens, batch);
  const Band band = BandOf(spec.rule, q_length, kv_length, 0, 0, false);
  std::vector<std::uint64_t> costs;
  for (std::int64_t first = 0; first < spec.q_tokens; first += tiling.tileRows) {
    const std::int64_t end = std::min<std::int64_t>(first + tiling.tileRows, q_length);
    std::int64_t keys = 0;
    if (first < end)
      keys = std::max<std::int64_t>(band.Row(end - 1, kv_length).end - band.Row(first, kv_length).begin, 0);
    costs.push_back(1 + static_cast<std::uint64_t>(keys + CUBE_BLOCK - 1) / CUBE_BLOCK);
  }
  return costs;
}

WorkPartition PartitionOf(const Spec& spec, const ForwardTiling& tiling) {
  WorkPartition work;
  const bool alike = spec.q_lens.size() <= 1 && spec.kv_lens.size() <= 1;
  const auto heads = static_cast<std::uint64_t>(spec.heads);
  if (alike) {
    work.Add(TileCosts(spec, tiling, 0), heads * static_cast<std::uint64_t>(spec.batch));
  } else {
    for (std::size_t b = 0; b < static_cast<std::size_t>(spec.batch); ++b) work.Add(TileCosts(spec, tiling, b), heads);
  }
  return work;
}

}  // namespace

ForwardLaunch FillTiling(const AttentionCall<std::int64_t>& call, const Spec& spec, float scale, const ChipLimits& chip,
                         ForwardTiling& tiling) {
  std::memset(&tiling, 0, sizeof tiling);
  const std::int64_t widest = std::max(spec.head_dim, spec.value_dim);
  tiling.batch = Narrow(call.op, "query", spec.batch);
  tiling.heads = Narrow(call.op, "query", spec.heads);
  tiling.groupSize = static_cast<std::uint32_t>(spec.heads / spec.kv_heads);
  tiling.qTokens = Narrow(call.op, "query", spec.q_tokens);
  tiling.kvTokens = Narrow(call.op, "key", spec.kv_tokens);
  tiling.headDim = static_cast<std::uint32_t>(spec.head_dim);
  tiling.valueDim = static_cast<std::uint32_t>(spec.value_dim);
  tiling.tileRows = widest <= 256 ? 128 : 64;
  tiling.stepColumns = widest <= 128 ? 1024 : 512;
  tiling.qLengths = LengthSourceOf(spec.q_lens);
  tiling.kvLengths = LengthSourceOf(spec.kv_lens);
  tiling.scale = scale;
  tiling.query = StridesOf(spec.q_layout, spec.batch, spec.q_tokens, spec.heads, spec.head_dim);
  tiling.key = StridesOf(spec.q_layout, spec.batch, spec.kv_tokens, spec.kv_heads, spec.head_dim);
  tiling.value = StridesOf(spec.q_layout, spec.batch, spec.kv_tokens, spec.kv_heads, spec.value_dim);
  tiling.output = StridesOf(spec.out_layout, spec.batch, spec.q_tokens, spec.heads, spec.value_dim);
  SetWindow(spec.rule, &tiling);
  SetBias(call, spec, &tiling);
  if (spec.rule.dense_mask) tiling.mask = BroadcastStrides(call.atten_mask);
  SetWorkspace(&tiling);

  const WorkPartition work = PartitionOf(spec, tiling);
  const std::uint64_t cores = std::min<std::uint64_t>({chip.cube_cores, MAX_CORE_GROUPS, work.Tiles()});
  work.Split(cores, tiling.firstTile);
  std::fill(tiling.firstTile + cores, std::end(tiling.firstTile), work.Tiles());

  ForwardLaunch launch;
  launch.tiling_key = (spec.dtype == DType::kBFloat16 ? KEY_BFLOAT16 : 0) + (spec.rule.dense_mask ? KEY_MASK : 0) +
                      (spec.pse != PseForm::kNone ? KEY_BIAS : 0);
  launch.block_dim = static_cast<std::uint32_t>(cores);
  launch.workspace_bytes = cores * (tiling.scoreBytes + tiling.probabilityBytes + tiling.productBytes);
  return launch;
}

}  // namespace npufa
