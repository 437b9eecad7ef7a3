// Cube side of the forward pipeline: scores of a step, and two steps later its products.
#pragma once

#include "operand_source.h"

namespace npufa {

template <typename T, typename Stored>
class ForwardCube {
 public:
  using Source = OperandSource<T, Stored>;
  using C = typename Source::C;
  using Product = typename CubeTiles<C>::Product;

  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, const CubeArguments& arguments,
                              const Workspace<T, Stored>& workspace) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    source_.Init(tiling, arguments, workspace);
    tiles_.Init(pipe);
    const uint32_t channels = source_.RopeColumn() + AlignUp(tiling.ropeDim, BLOCK_BYTES);
    pipe.InitBuffer(queryQueue_, 2, AlignUp(tiling.slotRows, FRACTAL) * channels * sizeof(C));
  }

  __aicore__ inline void Begin(const Tile&) {}
  __aicore__ inline void Prepare(const Step&) {}

  __aicore__ inline void First(const Step& step) { Run(&step, nullptr); }
  __aicore__ inline void Second(const Step& step) { Run(nullptr, &step); }
  __aicore__ inline void Both(const Step& first, const Step& second) { Run(&first, &second); }

 private:
  // Where the sum over a step's values stands.
  struct ProductPosition {
    uint32_t firstValue = 0;  // column of the values
    uint32_t key = 0;         // key within the step
  };

  // Scores of one step and products of another, block by block in turn: the scores leave L0C far slower than they are
  // computed, so the products fill the cube meanwhile.
  __aicore__ inline void Run(const Step* scores, const Step* products) {
    uint32_t column = 0;
    ProductPosition position;
    if (scores != nullptr) BeginScores(*scores);
    while (scores != nullptr || products != nullptr) {
      for (uint32_t i = 0; i < SCORE_BLOCKS_PER_TURN && scores != nullptr; ++i) {
        ScoreBlock(*scores, column);
        column += SCORE_COLUMNS;
        if (column >= scores->columns) {
          EndScores(*scores);
          scores = nullptr;
        }
      }
      if (products == nullptr) continue;
      if (position.firstValue == 0 && position.key == 0) AscendC::CrossCoreWaitFlag(FLAG_PROBABILITIES);
      ProductBlock(*products, position);
      if (position.firstValue >= tiling_->valueDim) {
        AscendC::CrossCoreSetFlag<2, PIPE_FIX>(FLAG_PRODUCTS);
        products = nullptr;
      }
    }
  }

  __aicore__ inline void BeginScores(const Step& step) {
    if (Source::CONVERTED || (Source::DIGITAL && step.IsFirst())) AscendC::CrossCoreWaitFlag(FLAG_KEYS);
    if (step.IsFirst()) queryTile_ = source_.Queries(queryQueue_, step);
    if (OneDepth()) queryLeft_ = tiles_.LoadLeft(queryTile_, Source::Rows(step.tile), 0, tiling_->headDim);
  }

  __aicore__ inline void EndScores(const Step& step) {
    if (OneDepth()) tiles_.FreeLeft(queryLeft_);
    if (step.IsLast()) queryQueue_.FreeTensor(queryTile_);
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(FLAG_SCORES);
  }

  __aicore__ inline void ScoreBlock(const Step& step, uint32_t column) {
    const uint32_t columns = Min(SCORE_COLUMNS, step.columns - column);
    AscendC::LocalTensor<Product> product = tiles_.AllocScores();
    for (uint32_t d = 0; d < tiling_->headDim; d += DEPTH) {
      const uint32_t depth = Min(DEPTH, tiling_->headDim - d);
      AscendC::LocalTensor<C> keys = source_.Keys(tiles_, step, column, columns, d, depth);
      AddScores(product, Source::Rows(step.tile), d, keys, columns, depth, d == 0);
    }
    for (uint32_t d = 0; d < tiling_->ropeDim; d += DEPTH) {
      const uint32_t depth = Min(DEPTH, tiling_->ropeDim - d);
      AscendC::LocalTensor<C> keys = source_.KeyRopes(tiles_, step, column, columns, d, depth);
      AddScores(product, Source::Rows(step.tile), source_.RopeColumn() + d, keys, columns, depth, false);
    }
    tiles_.StoreScores(source_.Target(workspace_->Scores(step.Slot(), 0)[column]), product, Source::Rows(step.tile),
                       columns, workspace_->ScorePitch());
  }

  // product += queries from channel `channel` on . keys
  __aicore__ inline void AddScores(const AscendC::LocalTensor<Product>& product, uint32_t rows, uint32_t channel,
                                   AscendC::LocalTensor<C>& keys, uint32_t columns, uint32_t depth, bool first) {
    AscendC::LocalTensor<C> left = OneDepth() ? queryLeft_ : tiles_.LoadLeft(queryTile_, rows, channel, depth);
    AscendC::LocalTensor<C> right = tiles_.LoadRightOfTransposed(keys, columns, depth);
    tiles_.Free(keys);
    CubeTiles<C>::Multiply(product, left, right, rows, columns, depth, first);
    tiles_.FreeRight(right);
    if (!OneDepth()) tiles_.FreeLeft(left);
  }

  // Adds one block of keys to the products at `position` and moves on.
  __aicore__ inline void ProductBlock(const Step& step, ProductPosition& position) {
    const uint32_t rows = Source::Rows(step.tile);
    const uint32_t columns = Min(CUBE_BLOCK, tiling_->valueDim - position.firstValue);
    const uint32_t depth = Min(DEPTH, step.columns - position.key);
    if (position.key == 0) product_ = tiles_.AllocSum();
    AscendC::LocalTensor<C> probabilities = source_.Probabilities(tiles_, step, position.key, depth);
    AscendC::LocalTensor<C> values = source_.Values(tiles_, step, position.key, depth, position.firstValue, columns);
    AscendC::LocalTensor<C> left = tiles_.LoadLeft(probabilities, rows, 0, depth);
    tiles_.Free(probabilities);
    AscendC::LocalTensor<C> right = tiles_.LoadRight(values, depth, columns);
    tiles_.Free(values);
    CubeTiles<C>::Multiply(product_, left, right, rows, CubeTiles<C>::RightColumns(columns), depth, position.key == 0);
    tiles_.FreeLeft(left);
    tiles_.FreeRight(right);
    position.key += depth;
    if (position.key < step.columns) return;
    tiles_.StoreSum(source_.Target(workspace_->Products(step.Slot(), 0)[position.firstValue]), product_, rows, columns,
                    workspace_->ProductPitch());
    position.key = 0;
    position.firstValue += CUBE_BLOCK;
  }

  static constexpr uint32_t DEPTH = CubeTiles<C>::DEPTH;
  static constexpr uint32_t SCORE_BLOCKS_PER_TURN = DEPTH / SCORE_COLUMNS;

  __aicore__ inline bool OneDepth() const { return tiling_->headDim <= DEPTH && tiling_->ropeDim == 0; }

  const ForwardTiling* tiling_;
  const Workspace<T, Stored>* workspace_;
  Source source_;
  CubeTiles<C> tiles_;
  typename CubeTiles<C>::L1Queue queryQueue_;
  AscendC::LocalTensor<C> queryTile_;
  AscendC::LocalTensor<C> queryLeft_;
  AscendC::LocalTensor<Product> product_;
};

}  // namespace npufa
