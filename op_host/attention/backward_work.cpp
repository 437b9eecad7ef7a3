#include "backward_work.h"

#include <algorithm>
#include <numeric>

#include "../common/work_partition.h"
#include "sequence_tiling.h"

namespace npufa {

namespace {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

std::uint64_t Blocks(std::int64_t extent, std::int64_t size) {
  return static_cast<std::uint64_t>((extent + size - 1) / size);
}

// Cycles / 100 that a step takes to leave L0C, which holds it up most: scores once per pair of blocks, key gradients
// once per column of blocks, query gradients once per row, which take twice as long because they are added; and a share
// for starting.
std::uint64_t StepCost(std::int64_t rows, std::int64_t columns) {
  const std::uint64_t m = Blocks(rows, CUBE_BLOCK), n = Blocks(columns, CUBE_BLOCK);
  return 17 * m * n + 32 * n + 16 * m + 5;
}

// Cost of each block of keys of one head.
std::vector<std::uint64_t> BlockCosts(const HostSequence& s, std::int64_t key_block, std::uint64_t group) {
  std::vector<std::uint64_t> costs;
  for (std::int64_t first = 0; first < s.kv_length; first += key_block) {
    const std::int64_t block_end = std::min(first + key_block, s.kv_length);
    std::uint64_t cost = 1;
    for (std::int64_t row = 0; row < s.q_length; row += BACKWARD_STEP_ROWS) {
      const std::int64_t row_end = std::min<std::int64_t>(row + BACKWARD_STEP_ROWS, s.q_length);
      const std::int64_t begin = std::max(first, s.band.Row(row, s.kv_length).begin);
      const std::int64_t end = std::min(block_end, s.band.Row(row_end - 1, s.kv_length).end);
      if (begin < end) cost += group * StepCost(row_end - row, end - begin);
    }
    costs.push_back(cost);
  }
  return costs;
}

// All units in order; whole heads, where results are to be batch-invariant: each sum has one core group then.
class Units {
 public:
  Units(const Call& call, const Spec& spec, std::int64_t key_block)
      : kv_heads_(static_cast<std::uint64_t>(spec.kv_heads)), sequences_(static_cast<std::uint64_t>(spec.batch)) {
    const auto costs_of = [&](std::int64_t s) {
      const auto group = static_cast<std::uint64_t>(spec.heads / spec.kv_heads);
      const std::vector<std::uint64_t> costs = BlockCosts(SequenceOf(call, spec, s), key_block, group);
      if (!call.batch_invariant || costs.empty()) return costs;
      return std::vector<std::uint64_t>{std::accumulate(costs.begin(), costs.end(), std::uint64_t{0})};
    };
    if (!spec.IsPackedBatch() && SequencesAreAlike(call, spec)) {
      Add(costs_of(0), sequences_);
    } else {
      for (std::int64_t s = 0; s < spec.batch; ++s) Add(costs_of(s), 1);
    }
  }

  const WorkPartition& Partition() const { return partition_; }

  BackwardStart At(std::uint64_t unit) const {
    const auto next = std::upper_bound(before_.begin(), before_.end(), unit);
    if (next == before_.end()) return {static_cast<std::uint32_t>(sequences_), 0, 0};
    const auto sequence = static_cast<std::size_t>(next - before_.begin() - 1);
    const std::uint64_t in_sequence = unit - before_[sequence];
    const std::uint64_t blocks = (before_[sequence + 1] - before_[sequence]) / kv_heads_;
    return {static_cast<std::uint32_t>(sequence), static_cast<std::uint32_t>(in_sequence / blocks),
            static_cast<std::uint32_t>(in_sequence % blocks)};
  }

 private:
  void Add(const std::vector<std::uint64_t>& costs, std::uint64_t sequences) {
    if (!costs.empty()) partition_.Add(costs, kv_heads_ * sequences);
    for (std::uint64_t s = 0; s < sequences; ++s) before_.push_back(before_.back() + kv_heads_ * costs.size());
  }

  std::uint64_t kv_heads_, sequences_;
  WorkPartition partition_;
  std::vector<std::uint64_t> before_{0};
};

// First unit of each core group, and of none behind the last.
struct Split {
  std::vector<std::uint64_t> first;
  std::uint64_t load = 0;
};

Split SplitOf(const Units& units, const ChipLimits& chip) {
  const WorkPartition& work = units.Partition();
  if (work.Tiles() == 0) return {{0, 0}, 0};
  const std::uint64_t cores = std::min<std::uint64_t>({chip.cube_cores, MAX_CORE_GROUPS, work.Tiles()});
  Split split;
  split.first.resize(cores + 1);
  work.Split(cores, split.first.data());
  split.load = work.MaxLoad(cores, split.first.data());
  return split;
}

// The group continues a head that an earlier one began: its query gradients need a place of their own.
void AddCopy(const Call& call, const Spec& spec, const BackwardStart& start, BackwardTiling& tiling) {
  QueryCopy& copy = tiling.copy[tiling.copies];
  copy.firstHead = start.kvHead * tiling.forward.sequences.groupSize;
  copy.batch = spec.IsPackedBatch() ? 0 : start.sequence;
  for (std::int64_t s = 0; spec.IsPackedBatch() && s < start.sequence; ++s) {
    copy.firstToken += static_cast<std::uint32_t>(SequenceOf(call, spec, s).q_length);
  }
  copy.tokens = static_cast<std::uint32_t>(SequenceOf(call, spec, start.sequence).q_length);
  copy.offset = tiling.copyFloats;
  tiling.copyFloats += std::uint64_t{tiling.forward.sequences.groupSize} * copy.tokens * tiling.queryPitch;
  ++tiling.copies;
}

}  // namespace

std::uint32_t LargestKeyBlock(const Spec& spec) {
  return spec.dtype == DType::kFloat32 ? MAX_KEY_BLOCK / 2 : MAX_KEY_BLOCK;
}

void FillBackwardWork(const Call& call, const Spec& spec, const ChipLimits& chip, BackwardTiling& tiling) {
  const std::uint32_t largest = LargestKeyBlock(spec);
  if (spec.LengthsOnDevice()) {
    tiling.keyBlock = largest;
    tiling.cores = std::min(chip.cube_cores, MAX_CORE_GROUPS);
    std::fill(std::begin(tiling.copyOf), std::end(tiling.copyOf), NO_COPY);
    return;
  }
  // Smaller blocks cost more altogether but can be shared out more evenly.
  Units units(call, spec, largest);
  Split split = SplitOf(units, chip);
  tiling.keyBlock = largest;
  for (std::uint32_t block = largest / 2; block >= CUBE_BLOCK && !call.batch_invariant; block /= 2) {
    Units smaller(call, spec, block);
    Split finer = SplitOf(smaller, chip);
    if (finer.load >= split.load) continue;
    units = std::move(smaller);
    split = std::move(finer);
    tiling.keyBlock = block;
  }
  tiling.cores = static_cast<std::uint32_t>(split.first.size() - 1);
  for (std::size_t c = 0; c <= MAX_CORE_GROUPS; ++c) {
    tiling.start[c] = units.At(split.first[std::min(c, split.first.size() - 1)]);
  }
  for (std::uint32_t c = 0; c < MAX_CORE_GROUPS; ++c) {
    tiling.copyOf[c] = NO_COPY;
    if (c >= tiling.cores || split.first[c] == split.first[c + 1] || tiling.start[c].block == 0) continue;
    tiling.copyOf[c] = tiling.copies;
    AddCopy(call, spec, tiling.start[c], tiling);
  }
}

}  // namespace npufa
