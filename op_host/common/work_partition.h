// Consecutive tiles dealt to cores in contiguous ranges so that the most loaded core has as little as possible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace npufa {

// A place between two units of cost: `unit` units into a tile.
struct WorkPoint {
  std::uint64_t tile = 0, unit = 0;
};

class WorkPartition {
 public:
  // `repeats` times the same run of tiles, as heads of one sequence are.
  void Add(const std::vector<std::uint64_t>& costs, std::uint64_t repeats) {
    Run run{tiles_, total_, repeats, {0}};
    for (const std::uint64_t cost : costs) run.before.push_back(run.before.back() + cost);
    tiles_ += repeats * costs.size();
    total_ += repeats * run.before.back();
    runs_.push_back(std::move(run));
  }

  std::uint64_t Tiles() const { return tiles_; }

  // Core c gets tiles [first[c], first[c + 1]); writes cores + 1 values.
  void Split(std::uint64_t cores, std::uint64_t* first) const {
    std::uint64_t enough = total_, too_little = (total_ - 1) / cores;
    while (enough - too_little > 1) {
      const std::uint64_t load = too_little + (enough - too_little) / 2;
      (Deal(cores, load, first) == tiles_ ? enough : too_little) = load;
    }
    Deal(cores, enough, first);
  }

  // The load of the most loaded core of a split.
  std::uint64_t MaxLoad(std::uint64_t cores, const std::uint64_t* first) const {
    std::uint64_t load = 0;
    for (std::uint64_t c = 0; c < cores; ++c) load = std::max(load, CostBefore(first[c + 1]) - CostBefore(first[c]));
    return load;
  }

  // Equal shares where tiles may be cut: core c works from at[c] to at[c + 1]. No piece is smaller than `least` units.
  void Cut(std::uint64_t cores, std::uint64_t least, std::vector<WorkPoint>* at) const {
    at->assign(cores + 1, WorkPoint{tiles_, 0});
    for (std::uint64_t core = 0; core < cores; ++core) {
      const std::uint64_t cost = total_ / cores * core + total_ % cores * core / cores;
      const std::uint64_t tile = TilesWithin(cost), before = CostBefore(tile);
      if (cost - before < least) {
        (*at)[core] = {tile, 0};
      } else if (CostBefore(tile + 1) - cost < least) {
        (*at)[core] = {tile + 1, 0};
      } else {
        (*at)[core] = {tile, cost - before};
      }
    }
  }

  std::uint64_t Total() const { return total_; }

 private:
  struct Run {
    std::uint64_t first_tile, cost_before, repeats;
    std::vector<std::uint64_t> before;  // cost of the tiles in front of each one; last: of all
    std::uint64_t Tiles() const { return before.size() - 1; }
  };

  // The number of tiles dealt when no core takes more than `load`.
  std::uint64_t Deal(std::uint64_t cores, std::uint64_t load, std::uint64_t* first) const {
    first[0] = 0;
    for (std::uint64_t core = 0; core < cores; ++core) first[core + 1] = TilesWithin(CostBefore(first[core]) + load);
    return first[cores];
  }

  std::uint64_t CostBefore(std::uint64_t tile) const {
    if (tile == tiles_) return total_;
    const Run& run = *std::prev(std::upper_bound(runs_.begin(), runs_.end(), tile,
                                                 [](std::uint64_t t, const Run& r) { return t < r.first_tile; }));
    const std::uint64_t in_run = tile - run.first_tile;
    return run.cost_before + in_run / run.Tiles() * run.before.back() + run.before[in_run % run.Tiles()];
  }

  // The most tiles from the start that cost at most `cost` together.
  std::uint64_t TilesWithin(std::uint64_t cost) const {
    if (cost >= total_) return tiles_;
    const Run& run = *std::prev(std::upper_bound(runs_.begin(), runs_.end(), cost,
                                                 [](std::uint64_t c, const Run& r) { return c < r.cost_before; }));
    const std::uint64_t in_run = cost - run.cost_before;
    const std::uint64_t rest = in_run % run.before.back();
    const auto fits = std::upper_bound(run.before.begin(), run.before.end(), rest) - run.before.begin() - 1;
    return run.first_tile + in_run / run.before.back() * run.Tiles() + static_cast<std::uint64_t>(fits);
  }

  std::vector<Run> runs_;
  std::uint64_t tiles_ = 0, total_ = 0;
};

}  // namespace npufa
