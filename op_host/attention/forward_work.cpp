#include "forward_work.h"

#include <algorithm>

#include "../common/work_partition.h"
#include "sequence_tiling.h"

namespace npufa {

namespace {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

constexpr std::int64_t kKeyAlignment = 16;  // of the first key of a tile
constexpr std::uint64_t kShortBlocks = 16;  // work of a core
constexpr std::uint32_t kShortStep = 384;

std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// What a core group takes as a whole: the keys of a tile from a block of SPLIT_KEYS on.
struct Unit {
  std::uint32_t tile, key_block;  // of one head, or group of heads
  std::uint64_t cost;             // blocks, and one more for what does not depend on them
};

// The units of a sequence, as often as it has heads or groups of them.
struct SequenceUnits {
  std::vector<Unit> units;
  std::uint64_t tiles = 0, heads = 0;

  std::uint64_t Count() const { return heads * units.size(); }
  WorkStart At(std::uint64_t index) const {
    const Unit& unit = units[index % units.size()];
    return {0, static_cast<std::uint32_t>(index / units.size() * tiles) + unit.tile, unit.key_block};
  }
};

// As the kernel's schedule has them: rows of tiles are heads of a group where that makes fewer tiles.
SequenceUnits UnitsOf(const HostSequence& s, const ForwardTiling& tiling) {
  const std::int64_t group = tiling.tileHeads, heads = tiling.sequences.heads, rows = tiling.tileRows;
  const std::int64_t blocks_of_heads = CeilDiv(group, rows);
  const bool by_head = blocks_of_heads * s.stored_rows < group * CeilDiv(s.stored_rows, rows);
  const std::int64_t step = by_head ? 1 : rows, repeats = by_head ? blocks_of_heads : 1;
  const bool pieces = tiling.pieceBlocks > 0 && s.stored_rows <= PIECE_ROWS;
  SequenceUnits result;
  result.heads = static_cast<std::uint64_t>(by_head ? heads / group : heads);
  for (std::int64_t first = 0; first < s.stored_rows; first += step) {
    const std::int64_t end = std::min(first + step, s.q_length);
    Window keys{0, 0};
    if (first < end) keys = {s.band.Row(first, s.kv_length).begin, s.band.Row(end - 1, s.kv_length).end};
    if (pieces) keys.begin = keys.begin / kKeyAlignment * kKeyAlignment;
    const std::int64_t kept = std::max<std::int64_t>(keys.end - keys.begin, 0);
    const auto blocks = static_cast<std::uint32_t>(CeilDiv(kept, SPLIT_KEYS));
    for (std::int64_t i = 0; i < repeats; ++i) {
      const std::uint32_t most = pieces ? tiling.pieceBlocks : std::max(blocks, 1U);
      const auto tile = static_cast<std::uint32_t>(result.tiles++);
      result.units.push_back({tile, 0, 1 + std::min(blocks, most)});
      for (std::uint32_t at = most; at < blocks; at += most) {
        result.units.push_back({tile, at, 1 + std::min(blocks - at, most)});
      }
    }
  }
  return result;
}

// All units in order, and how many lie in front of each sequence.
struct Work {
  WorkPartition partition;
  std::vector<SequenceUnits> sequences;  // one for all where they are alike
  std::vector<std::uint64_t> units_before{0};

  void Add(SequenceUnits units, std::uint64_t times) {
    std::vector<std::uint64_t> costs;
    for (const Unit& unit : units.units) costs.push_back(unit.cost);
    if (!costs.empty()) partition.Add(costs, units.heads * times);
    for (std::uint64_t s = 0; s < times; ++s) units_before.push_back(units_before.back() + units.Count());
    sequences.push_back(std::move(units));
  }

  WorkStart StartOf(const WorkPoint& point) const {
    const auto next = std::upper_bound(units_before.begin(), units_before.end(), point.tile);
    if (next == units_before.end()) return {static_cast<std::uint32_t>(units_before.size() - 1), 0, 0};
    const auto sequence = static_cast<std::size_t>(next - units_before.begin() - 1);
    const SequenceUnits& units = sequences[std::min(sequence, sequences.size() - 1)];
    WorkStart start = units.At(point.tile - units_before[sequence]);
    start.sequence = static_cast<std::uint32_t>(sequence);
    start.keyBlock += static_cast<std::uint32_t>(point.unit);
    return start;
  }
};

Work WorkOf(const Call& call, const Spec& spec, const ForwardTiling& tiling) {
  Work work;
  if (!spec.IsPackedBatch() && SequencesAreAlike(call, spec)) {
    work.Add(UnitsOf(SequenceOf(call, spec, 0), tiling), static_cast<std::uint64_t>(spec.batch));
    return work;
  }
  for (std::int64_t b = 0; b < spec.batch; ++b) work.Add(UnitsOf(SequenceOf(call, spec, b), tiling), 1);
  if (spec.IsPackedBatch()) {
    HostSequence tail;
    tail.stored_rows = TailRows(spec);
    work.Add(UnitsOf(tail, tiling), 1);
  }
  return work;
}

// Whole units for each core, or parts of them where whole ones would leave cores idle.
std::vector<WorkPoint> Distribute(const WorkPartition& work, std::uint64_t cores, bool may_cut) {
  constexpr std::uint64_t kLeastBlocks = 3;  // of a piece: merging pieces costs about as much as a block
  constexpr std::uint64_t kTolerance = 32;   // whole tiles may cost 1/32 more
  std::vector<WorkPoint> points(cores + 1);
  const std::uint64_t whole_cores = std::min(cores, work.Tiles());
  std::vector<std::uint64_t> first(whole_cores + 1);
  work.Split(whole_cores, first.data());
  const std::uint64_t ideal = work.Total() / cores;
  if (!may_cut || work.MaxLoad(whole_cores, first.data()) <= ideal + ideal / kTolerance + kLeastBlocks) {
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
  if (spec.LengthsOnDevice()) {
    tiling.cores = std::min(chip.cube_cores, MAX_CORE_GROUPS);
    return;
  }
  const Work work = WorkOf(call, spec, tiling);
  const std::uint64_t most = std::min<std::uint64_t>({chip.cube_cores, MAX_CORE_GROUPS, work.partition.Total()});
  std::vector<WorkPoint> points = Distribute(work.partition, most, tiling.batchInvariant == 0);
  // Few keys in more steps: one step's are read while another's scores and probabilities go from core to core.
  if (tiling.batchInvariant == 0 && work.partition.Total() <= kShortBlocks * most) {
    tiling.stepColumns = std::min(tiling.stepColumns, kShortStep);
  }
  // Cores without work.
  const auto same = [](const WorkPoint& a, const WorkPoint& b) { return a.tile == b.tile && a.unit == b.unit; };
  points.erase(std::unique(points.begin(), points.end(), same), points.end());
  tiling.cores = static_cast<std::uint32_t>(points.size() - 1);
  for (std::size_t c = 0; c <= MAX_CORE_GROUPS; ++c) {
    tiling.start[c] = work.StartOf(points[std::min(c, points.size() - 1)]);
  }
}

}  // namespace npufa
