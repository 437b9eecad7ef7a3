// The core groups' shares of the tiles, found by every core for itself where only the device knows the lengths: equal
// numbers of key blocks, cut within tiles.
#pragma once

#include "../call/device_lengths.h"
#include "../call/schedule.h"

namespace npufa {

class ForwardPlan {
 public:
  __aicore__ inline void Fill(ForwardTiling& tiling, const SequenceArguments& arguments) {
    ResolveLengths(tiling.sequences, arguments);
    schedule_.Init(tiling, arguments, 0);
    const uint32_t sequences = schedule_.Sequences();
    uint64_t total = 0;
    for (uint32_t sequence = 0; sequence < sequences; ++sequence) {
      total += schedule_.Heads(sequence) * HeadCost(sequence);
    }

    schedule_.Init(tiling, arguments, 0);
    // Two groups that began at one block of a tile would leave one of them without a part; small parts do not pay.
    tiling.cores = static_cast<uint32_t>(Min<uint64_t>(tiling.cores, (total + LEAST_BLOCKS - 1) / LEAST_BLOCKS));
    uint32_t sequence = 0;
    uint64_t before = 0, head = HeadCost(0);
    for (uint32_t group = 0; group < tiling.cores; ++group) {
      const uint64_t place = total / tiling.cores * group + total % tiling.cores * group / tiling.cores;
      while (place - before >= schedule_.Heads(sequence) * head) {
        before += schedule_.Heads(sequence) * head;
        head = HeadCost(++sequence);
      }
      tiling.start[group] = PlaceIn(tiling, sequence, head, place - before);
    }
    for (uint32_t group = tiling.cores; group <= MAX_CORE_GROUPS; ++group) tiling.start[group] = {sequences, 0, 0};
  }

 private:
  static constexpr uint64_t LEAST_BLOCKS = 3;  // of a piece: merging pieces costs about as much as a block

  // Blocks of keys of a tile, and one more for what does not depend on them.
  __aicore__ inline uint64_t TileCost(uint32_t sequence, uint32_t index) {
    Tile tile;
    schedule_.LoadTile(tile, sequence, index);
    return 1 + CeilDiv(tile.endKey - tile.firstKey, SPLIT_KEYS);
  }

  // Of the tiles of one head (of a group), which is that of every other.
  __aicore__ inline uint64_t HeadCost(uint32_t sequence) {
    const uint32_t tiles = schedule_.TilesPerHead(sequence);
    uint64_t cost = 0;
    for (uint32_t index = 0; index < tiles; ++index) cost += TileCost(sequence, index);
    return cost;
  }

  // `cost` blocks into the sequence.
  __aicore__ inline WorkStart PlaceIn(const ForwardTiling& tiling, uint32_t sequence, uint64_t headCost,
                                      uint64_t cost) {
    uint32_t tile = static_cast<uint32_t>(cost / headCost) * schedule_.TilesPerHead(sequence);
    uint64_t rest = cost % headCost, tileCost = TileCost(sequence, 0);
    for (uint32_t index = 0; rest >= tileCost; ++tile) {
      rest -= tileCost;
      tileCost = TileCost(sequence, ++index);
    }
    if (tiling.batchInvariant) {
      if (rest == 0 || !schedule_.HasPieces(sequence)) return {sequence, tile, 0};
      return {sequence, tile, static_cast<uint32_t>(rest - 1) / tiling.pieceBlocks * tiling.pieceBlocks};
    }
    if (rest < LEAST_BLOCKS) return {sequence, tile, 0};
    if (tileCost - rest < LEAST_BLOCKS) return {sequence, tile + 1, 0};
    return {sequence, tile, static_cast<uint32_t>(rest)};
  }

  Schedule schedule_;
};

}  // namespace npufa
