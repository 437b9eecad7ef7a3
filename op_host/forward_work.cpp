#include "forward_work.h"

#include <algorithm>

#include "common/work_partition.h"
#include "sequence_tiling.h"

namespace npufa {

namespace {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Rows of a tile are heads of a group where that makes fewer tiles, as for one query token per sequence.
bool RowsAreHeads(const Spec& spec, std::int64_t rows) {
  const std::int64_t group = spec.heads / spec.kv_heads;
  std::int64_t by_head = 0, by_token = 0;
  const auto count = [&](std::int64_t tokens) {
    by_token += spec.heads * CeilDiv(tokens, rows);
    by_head += spec.kv_heads * CeilDiv(group, rows) * tokens;
  };
  if (spec.q_lens_on_device && spec.IsPackedBatch()) {
    count(CeilDiv(spec.q_tokens, spec.batch));
  } else if (spec.IsPackedBatch()) {
    for (const std::int64_t tokens : spec.q_lens) count(tokens);
  } else {
    count(spec.q_tokens);
  }
  return by_head < by_token;
}

// Blocks of keys of each tile of one head (of a group), and one more for what does not depend on them.
std::vector<std::uint64_t> TileCosts(const HostSequence& s, const ForwardTiling& tiling) {
  const std::int64_t rows = tiling.rowsAreHeads ? 1 : tiling.tileRows;
  const std::int64_t group_blocks = tiling.rowsAreHeads ? CeilDiv(tiling.sequences.groupSize, tiling.tileRows) : 1;
  std::vector<std::uint64_t> costs;
  for (std::int64_t first = 0; first < s.stored_rows; first += rows) {
    const std::int64_t end = std::min(first + rows, s.q_length);
    std::int64_t keys = 0;
    if (first < end) keys = s.band.Row(end - 1, s.kv_length).end - s.band.Row(first, s.kv_length).begin;
    const auto blocks = static_cast<std::uint64_t>(CeilDiv(std::max<std::int64_t>(keys, 0), SPLIT_KEYS));
    costs.insert(costs.end(), static_cast<std::size_t>(group_blocks), 1 + blocks);
  }
  return costs;
}

// All tiles in order, and how many lie in front of each sequence.
struct Work {
  WorkPartition partition;
  std::vector<std::uint64_t> tiles_before;

  void Add(const std::vector<std::uint64_t>& costs, std::uint64_t heads, std::uint64_t sequences) {
    if (!costs.empty()) partition.Add(costs, heads * sequences);
    for (std::uint64_t s = 0; s < sequences; ++s) tiles_before.push_back(tiles_before.back() + heads * costs.size());
  }
};

Work WorkOf(const Call& call, const Spec& spec, const ForwardTiling& tiling) {
  const auto heads = static_cast<std::uint64_t>(tiling.rowsAreHeads ? spec.kv_heads : spec.heads);
  Work work{{}, {0}};
  if (!spec.IsPackedBatch() && SequencesAreAlike(call, spec)) {
    work.Add(TileCosts(SequenceOf(call, spec, 0), tiling), heads, static_cast<std::uint64_t>(spec.batch));
    return work;
  }
  for (std::int64_t b = 0; b < spec.batch; ++b) work.Add(TileCosts(SequenceOf(call, spec, b), tiling), heads, 1);
  if (spec.IsPackedBatch()) {
    HostSequence tail;
    tail.stored_rows = TailRows(spec);
    work.Add(TileCosts(tail, tiling), heads, 1);
  }
  return work;
}

WorkStart StartOf(const Work& work, const WorkPoint& point) {
  const auto next = std::upper_bound(work.tiles_before.begin(), work.tiles_before.end(), point.tile);
  if (next == work.tiles_before.end()) return {static_cast<std::uint32_t>(work.tiles_before.size() - 1), 0, 0};
  const auto sequence = static_cast<std::uint32_t>(next - work.tiles_before.begin() - 1);
  return {sequence, static_cast<std::uint32_t>(point.tile - work.tiles_before[sequence]),
          static_cast<std::uint32_t>(point.unit)};
}

// Whole tiles for each core, or pieces of tiles where whole ones would leave cores idle.
std::vector<WorkPoint> Distribute(const WorkPartition& work, std::uint64_t cores) {
  constexpr std::uint64_t kLeastBlocks = 3;  // of a piece: merging pieces costs about as much as a block
  constexpr std::uint64_t kTolerance = 32;   // whole tiles may cost 1/32 more
  std::vector<WorkPoint> points(cores + 1);
  const std::uint64_t whole_cores = std::min(cores, work.Tiles());
  std::vector<std::uint64_t> first(whole_cores + 1);
  work.Split(whole_cores, first.data());
  const std::uint64_t ideal = work.Total() / cores;
  if (work.MaxLoad(whole_cores, first.data()) <= ideal + ideal / kTolerance + kLeastBlocks) {
    for (std::uint64_t c = 0; c <= cores; ++c) points[c] = {first[std::min(c, whole_cores)], 0};
  } else {
    work.Cut(cores, kLeastBlocks, &points);
  }
  return points;
}

}  // namespace

std::uint32_t MostCores(const Spec& spec, std::uint32_t tile_rows, const ChipLimits& chip) {
  const std::int64_t batches = spec.IsPackedBatch() ? 1 : spec.batch;
  // Every sequence, and what lies behind the last of a packed batch, may end within a tile.
  const std::int64_t tiles = spec.heads * (batches * spec.q_tokens / tile_rows + spec.batch + 1);
  const std::int64_t units = tiles * (1 + CeilDiv(spec.prefix_tokens + spec.kv_tokens, SPLIT_KEYS));
  return static_cast<std::uint32_t>(std::min<std::int64_t>({chip.cube_cores, MAX_CORE_GROUPS, units}));
}

void FillWork(const Call& call, const Spec& spec, const ChipLimits& chip, ForwardTiling& tiling) {
  tiling.rowsAreHeads = RowsAreHeads(spec, tiling.tileRows);
  if (spec.LengthsOnDevice()) {
    tiling.cores = std::min(chip.cube_cores, MAX_CORE_GROUPS);
    return;
  }
  const Work work = WorkOf(call, spec, tiling);
  const std::uint64_t most = std::min<std::uint64_t>({chip.cube_cores, MAX_CORE_GROUPS, work.partition.Total()});
  std::vector<WorkPoint> points = Distribute(work.partition, most);
  // Cores without work.
  const auto same = [](const WorkPoint& a, const WorkPoint& b) { return a.tile == b.tile && a.unit == b.unit; };
  points.erase(std::unique(points.begin(), points.end(), same), points.end());
  tiling.cores = static_cast<std::uint32_t>(points.size() - 1);
  for (std::size_t c = 0; c <= MAX_CORE_GROUPS; ++c) {
    tiling.start[c] = StartOf(work, points[std::min(c, points.size() - 1)]);
  }
}

}  // namespace npufa
