// Cube side of the forward pipeline: scores of a step, and two steps later its products.
#pragma once

#include "cube_tiles.h"
#include "schedule.h"
#include "workspace.h"

namespace npufa {

template <typename T>
class ForwardCube {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR query, GM_ADDR key,
                              GM_ADDR value, const GroupWorkspace<T>& workspace) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    query_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(query));
    key_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(key));
    value_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(value));
    tiles_.Init(pipe);
    pipe.InitBuffer(queryQueue_, 2, AlignUp(tiling.tileRows, FRACTAL) * AlignUp(tiling.headDim, FRACTAL) * sizeof(T));
  }

  __aicore__ inline void Begin(const Tile&) {}

  __aicore__ inline void First(const Step& step, uint32_t slot) { Run(&step, slot, nullptr, 0); }
  __aicore__ inline void Second(const Step& step, uint32_t slot) { Run(nullptr, 0, &step, slot); }
  __aicore__ inline void Both(const Step& first, uint32_t firstSlot, const Step& second, uint32_t secondSlot) {
    Run(&first, firstSlot, &second, secondSlot);
  }

 private:
  // Where the sum over a step's values stands.
  struct ProductPosition {
    uint32_t firstValue = 0;  // column of the values
    uint32_t key = 0;         // key within the step
  };

  // Scores of one step and products of another, block by block in turn: the scores leave L0C far slower than they are
  // computed, so the products fill the cube meanwhile.
  __aicore__ inline void Run(const Step* scores, uint32_t scoreSlot, const Step* products, uint32_t productSlot) {
    uint32_t column = 0;
    ProductPosition position;
    if (scores != nullptr) BeginScores(*scores);
    while (scores != nullptr || products != nullptr) {
      for (uint32_t i = 0; i < SCORE_BLOCKS_PER_TURN && scores != nullptr; ++i) {
        ScoreBlock(*scores, scoreSlot, column);
        column += SCORE_COLUMNS;
        if (column >= scores->columns) {
          EndScores(*scores);
          scores = nullptr;
        }
      }
      if (products == nullptr) continue;
      if (position.firstValue == 0 && position.key == 0) AscendC::CrossCoreWaitFlag(FLAG_PROBABILITIES);
      ProductBlock(*products, productSlot, position);
      if (position.firstValue >= tiling_->valueDim) {
        AscendC::CrossCoreSetFlag<2, PIPE_FIX>(FLAG_PRODUCTS);
        products = nullptr;
      }
    }
  }

  __aicore__ inline void BeginScores(const Step& step) {
    const Tile& tile = step.tile;
    if (step.IsFirst()) {
      queryTile_ = CubeTiles<T>::LoadInto(queryQueue_, query_[Offset(tiling_->query, tile.batch, tile.head, tile.firstRow)],
                                          tile.rows, tiling_->headDim, tiling_->query.token);
    }
    if (OneDepth()) queryLeft_ = tiles_.LoadLeft(queryTile_, tile.rows, 0, tiling_->headDim);
  }

  __aicore__ inline void EndScores(const Step& step) {
    if (OneDepth()) tiles_.FreeLeft(queryLeft_);
    if (step.IsLast()) queryQueue_.FreeTensor(queryTile_);
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(FLAG_SCORES);
  }

  __aicore__ inline void ScoreBlock(const Step& step, uint32_t slot, uint32_t column) {
    const Tile& tile = step.tile;
    const uint32_t columns = Min(SCORE_COLUMNS, step.columns - column);
    AscendC::LocalTensor<float> product = tiles_.AllocScores();
    for (uint32_t d = 0; d < tiling_->headDim; d += CUBE_BLOCK) {
      const uint32_t depth = Min(CUBE_BLOCK, tiling_->headDim - d);
      AscendC::LocalTensor<T> keys =
          tiles_.Load(key_[Offset(tiling_->key, tile.batch, KvHead(tile), step.firstKey + column) + d], columns, depth,
                      tiling_->key.token);
      AscendC::LocalTensor<T> left = OneDepth() ? queryLeft_ : tiles_.LoadLeft(queryTile_, tile.rows, d, depth);
      AscendC::LocalTensor<T> right = tiles_.LoadRightOfTransposed(keys, columns, depth);
      tiles_.Free(keys);
      CubeTiles<T>::Multiply(product, left, right, tile.rows, columns, depth, d == 0);
      tiles_.FreeRight(right);
      if (!OneDepth()) tiles_.FreeLeft(left);
    }
    tiles_.StoreScores(workspace_->Scores(slot, 0)[column], product, tile.rows, columns, workspace_->ScorePitch());
  }

  // Adds one block of keys to the products at `position` and moves on.
  __aicore__ inline void ProductBlock(const Step& step, uint32_t slot, ProductPosition& position) {
    const Tile& tile = step.tile;
    const uint32_t columns = Min(CUBE_BLOCK, tiling_->valueDim - position.firstValue);
    const uint32_t depth = Min(CUBE_BLOCK, step.columns - position.key);
    if (position.key == 0) product_ = tiles_.AllocSum();
    AscendC::LocalTensor<T> probabilities =
        tiles_.Load(workspace_->Probabilities(slot, 0)[position.key], tile.rows, depth, workspace_->ScorePitch());
    AscendC::LocalTensor<T> values = tiles_.Load(
        value_[Offset(tiling_->value, tile.batch, KvHead(tile), step.firstKey + position.key) + position.firstValue],
        depth, columns, tiling_->value.token);
    AscendC::LocalTensor<T> left = tiles_.LoadLeft(probabilities, tile.rows, 0, depth);
    tiles_.Free(probabilities);
    AscendC::LocalTensor<T> right = tiles_.LoadRight(values, depth, columns);
    tiles_.Free(values);
    CubeTiles<T>::Multiply(product_, left, right, tile.rows, columns, depth, position.key == 0);
    tiles_.FreeLeft(left);
    tiles_.FreeRight(right);
    position.key += depth;
    if (position.key < step.columns) return;
    tiles_.StoreSum(workspace_->Products(slot, 0)[position.firstValue], product_, tile.rows, columns,
                    workspace_->ProductPitch());
    position.key = 0;
    position.firstValue += CUBE_BLOCK;
  }

  static constexpr uint32_t SCORE_BLOCKS_PER_TURN = CUBE_BLOCK / SCORE_COLUMNS;

  __aicore__ inline bool OneDepth() const { return tiling_->headDim <= CUBE_BLOCK; }
  __aicore__ inline uint32_t KvHead(const Tile& tile) const { return tile.head / tiling_->groupSize; }

  __aicore__ inline static uint64_t Offset(const TensorStrides& strides, uint32_t batch, uint32_t head, uint32_t token) {
    return batch * strides.batch + head * strides.head + token * strides.token;
  }

  const ForwardTiling* tiling_;
  const GroupWorkspace<T>* workspace_;
  AscendC::GlobalTensor<T> query_;
  AscendC::GlobalTensor<T> key_;
  AscendC::GlobalTensor<T> value_;
  CubeTiles<T> tiles_;
  typename CubeTiles<T>::L1Queue queryQueue_;
  AscendC::LocalTensor<T> queryTile_;
  AscendC::LocalTensor<T> queryLeft_;
  AscendC::LocalTensor<float> product_;
};

}  // namespace npufa
