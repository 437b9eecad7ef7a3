// Operands of the backward products in L1. What several products in a row need stays there.
#pragma once

#include "../tiles/cube_tiles.h"
#include "backward_arguments.h"
#include "backward_workspace.h"

namespace npufa {

// Channels of queries and keys, or of values, that one product takes.
struct ChannelChunk {
  bool rope;
  uint32_t first;  // channel of its tensor
  uint32_t width;
  uint32_t gradient;  // column of the gradients' rows
};

// The two products that scores consist of in the backward pass: query . key, and output gradient . value.
enum ScoreSide : uint32_t { SIDE_QUERY_KEY = 0, SIDE_GRADIENT_VALUE = 1 };

template <typename T>
struct CachedTile {
  AscendC::LocalTensor<T> tile;
  uint64_t name;
  bool held;
};

template <typename T>
class BackwardOperands {
 public:
  static constexpr uint32_t DEPTH = CubeTiles<T>::DEPTH;
  static constexpr uint32_t KEY_TILE_ROWS = 2 * CUBE_BLOCK;

  __aicore__ inline void Init(AscendC::TPipe& pipe, const BackwardTiling& tiling, const BackwardArguments& arguments,
                              const BackwardWorkspace<T>& workspace) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    query_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.query));
    key_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.key));
    value_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.value));
    queryRope_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.queryRope));
    keyRope_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.keyRope));
    gradient_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(arguments.gradient));
    tiles_.InitScoresOnly(pipe, L1_SLOTS, SLOT_BYTES);
    for (uint32_t side = 0; side < 2; ++side) {
      for (uint32_t way = 0; way < KEY_WAYS; ++way) keys_[side][way].held = false;
    }
  }

  __aicore__ inline CubeTiles<T>& Tiles() { return tiles_; }

  __aicore__ inline uint32_t Chunks(ScoreSide side) const {
    const ForwardTiling& forward = tiling_->forward;
    if (side == SIDE_GRADIENT_VALUE) return CeilDiv(forward.valueDim, DEPTH);
    return CeilDiv(forward.headDim, DEPTH) + CeilDiv(forward.ropeDim, DEPTH);
  }
  __aicore__ inline ChannelChunk Chunk(ScoreSide side, uint32_t index) const {
    const ForwardTiling& forward = tiling_->forward;
    const uint32_t proper = side == SIDE_GRADIENT_VALUE ? forward.valueDim : forward.headDim;
    const uint32_t chunks = CeilDiv(proper, DEPTH);
    if (index < chunks) return {false, index * DEPTH, Min(DEPTH, proper - index * DEPTH), index * DEPTH};
    const uint32_t first = (index - chunks) * DEPTH;
    return {true, first, Min(DEPTH, forward.ropeDim - first), tiling_->ropeColumn + first};
  }

  // Rows [first, first + rows) of a step: queries or output gradients.
  __aicore__ inline const AscendC::LocalTensor<T>& Rows(CachedTile<T>& cache, const BackwardStep& step, ScoreSide side,
                                                        uint32_t index, uint32_t first, uint32_t rows) {
    if (!Replaces(cache, Name(step.number, side, first, index))) return cache.tile;
    const ForwardTiling& forward = tiling_->forward;
    const ChannelChunk chunk = Chunk(side, index);
    const Tile& tile = step.scores.tile;
    const uint32_t token = tile.sequence.qFirst + tile.firstRow + first;
    const TensorStrides& strides = side == SIDE_GRADIENT_VALUE ? forward.output
                                   : chunk.rope                ? forward.queryRope
                                                               : forward.query;
    const AscendC::GlobalTensor<T>& source = side == SIDE_GRADIENT_VALUE ? gradient_ : chunk.rope ? queryRope_ : query_;
    cache.tile = tiles_.Load(source[Offset(strides, tile.sequence, tile.head, token) + chunk.first], rows, chunk.width,
                             strides.token);
    return cache.tile;
  }

  // KEY_TILE_ROWS keys or values of the step's block, in tiles of CUBE_BLOCK rows one behind the other.
  __aicore__ inline const AscendC::LocalTensor<T>& Keys(const BackwardStep& step, ScoreSide side, uint32_t keyTile,
                                                        uint32_t index) {
    CachedTile<T>& cache = keys_[side][(keyTile * Chunks(side) + index) % Ways(side)];
    if (!Replaces(cache, Name(step.unit, side, keyTile, index))) return cache.tile;
    const ForwardTiling& forward = tiling_->forward;
    const ChannelChunk chunk = Chunk(side, index);
    const Sequence& sequence = step.scores.tile.sequence;
    const TensorStrides& strides = side == SIDE_GRADIENT_VALUE ? forward.value.rows
                                   : chunk.rope                ? forward.keyRope.rows
                                                               : forward.key.rows;
    const AscendC::GlobalTensor<T>& source = side == SIDE_GRADIENT_VALUE ? value_ : chunk.rope ? keyRope_ : key_;
    const AscendC::LocalTensor<T> tile = tiles_.Alloc(KEY_TILE_ROWS, chunk.width);
    const uint32_t end = Min((keyTile + 1) * KEY_TILE_ROWS, step.blockKeys);
    for (uint32_t row = keyTile * KEY_TILE_ROWS; row < end; row += CUBE_BLOCK) {
      const uint32_t rows = Min(CUBE_BLOCK, end - row);
      const uint32_t token = sequence.kvFirst + step.firstKey + row;
      CubeTiles<T>::CopyRows(tile[row % KEY_TILE_ROWS * DEPTH], rows, 0, 0,
                             source[Offset(strides, sequence, step.kvHead, token) + chunk.first], rows, chunk.width,
                             strides.token);
    }
    cache.tile = tiles_.Ready(tile);
    return cache.tile;
  }
  // Where CUBE_BLOCK keys from key `key` of the block on lie in Keys().
  __aicore__ inline static uint32_t InKeys(uint32_t key) {
    return key % KEY_TILE_ROWS / CUBE_BLOCK * CUBE_BLOCK * DEPTH;
  }

  // Probabilities or (`gradient`) score gradients of a step.
  __aicore__ inline const AscendC::LocalTensor<T>& Scores(CachedTile<T>& cache, const BackwardStep& step, bool gradient,
                                                          uint32_t firstRow, uint32_t rows, uint32_t firstColumn,
                                                          uint32_t columns) {
    const uint64_t shape = rows << 10 | columns;
    if (!Replaces(cache, Name(step.number, gradient, firstRow, firstColumn) << 20 | shape)) return cache.tile;
    cache.tile = tiles_.Load(workspace_->Narrow(step.Slot(), gradient, firstRow)[firstColumn], rows, columns,
                             workspace_->NarrowPitch());
    return cache.tile;
  }

  __aicore__ inline void Drop(CachedTile<T>& cache) {
    if (cache.held) tiles_.Free(cache.tile);
    cache.held = false;
  }
  __aicore__ inline void DropKeys() {
    for (uint32_t side = 0; side < 2; ++side) {
      for (uint32_t way = 0; way < KEY_WAYS; ++way) Drop(keys_[side][way]);
    }
  }

 private:
  // As many as fit in L1, whose last 256 bytes are the system's. The key ways may hold three, products in progress three.
  static constexpr uint32_t L1_SLOTS = 7;
  static constexpr uint32_t SLOT_BYTES = KEY_TILE_ROWS * DEPTH * sizeof(T);
  static constexpr uint32_t KEY_WAYS = 2;
  // Keys serve two products, values one.
  __aicore__ inline static uint32_t Ways(ScoreSide side) { return side == SIDE_QUERY_KEY ? KEY_WAYS : 1; }

  __aicore__ inline static uint64_t Name(uint64_t number, uint64_t side, uint64_t row, uint64_t column) {
    return ((number * 2 + side) << 20 | row << 10 | column);
  }

  // Whether a cache needs another tile than it has.
  __aicore__ inline bool Replaces(CachedTile<T>& cache, uint64_t name) {
    if (cache.held && cache.name == name) return false;
    Drop(cache);
    cache.name = name;
    cache.held = true;
    return true;
  }

  __aicore__ inline static uint64_t Offset(const TensorStrides& strides, const Sequence& sequence, uint32_t head,
                                           uint32_t token) {
    return sequence.batch * strides.batch + head * strides.head + token * strides.token;
  }

  const BackwardTiling* tiling_;
  const BackwardWorkspace<T>* workspace_;
  AscendC::GlobalTensor<T> query_;
  AscendC::GlobalTensor<T> key_;
  AscendC::GlobalTensor<T> value_;
  AscendC::GlobalTensor<T> queryRope_;
  AscendC::GlobalTensor<T> keyRope_;
  AscendC::GlobalTensor<T> gradient_;
  CubeTiles<T> tiles_;
  CachedTile<T> keys_[2][KEY_WAYS];
};

}  // namespace npufa
