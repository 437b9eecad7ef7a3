// How the work of the backward pass is shared out.
#pragma once

#include <algorithm>
#include <vector>

#include "tiles.h"

namespace npufa::cpu {

// Keys [key_begin, key_end) of one key/value head.
struct BackwardTask {
  std::vector<const Sequence*> sequences;  // more than one where they share a bias gradient
  std::int64_t kv_head, key_begin, key_end;
  std::int64_t part = 0, parts = 1;  // of the keys
};

// Keys [0, keys) in pieces of whole tiles, each of which has query gradients of its own.
struct Pieces {
  std::int64_t keys, count;

  static std::int64_t Tiles(std::int64_t keys) { return (keys + kTileKeys - 1) / kTileKeys; }
  std::int64_t Begin(std::int64_t i) const { return Tiles(keys) * i / count * kTileKeys; }
  std::int64_t End(std::int64_t i) const { return std::min(keys, Begin(i + 1)); }
};

// Those of batch-invariant gradients: query gradients are sums over them in order, whoever computes them.
Pieces InvariantPieces(std::int64_t keys);

std::vector<BackwardTask> MakeTasks(const Problem& p, const BackwardOutputs& out, int threads);

}  // namespace npufa::cpu
