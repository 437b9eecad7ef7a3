// Cube side of the forward pipeline where queries and keys are too wide for one product, or two heads share lines of 512
// bytes: operands come in pieces of up to 128 rows of 512 bytes, of which each part is multiplied once it is there.
#pragma once

#include "operand_source.h"

namespace npufa {

template <typename T, typename Stored>
class ForwardCubeWide {
 public:
  using Source = OperandSource<T, Stored>;
  using C = typename Source::C;
  using Product = typename CubeTiles<C>::Product;

  __aicore__ inline static bool Suits(const ForwardTiling& tiling) {
    return tiling.headDim + tiling.ropeDim > DEPTH || tiling.tileHeads > tiling.sequences.groupSize;
  }

  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, const CubeArguments& arguments,
                              const Workspace<T, Stored>& workspace) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    source_.Init(tiling, arguments, workspace);
    const uint32_t channels = source_.RopeColumn() + AlignUp(tiling.ropeDim, BLOCK_BYTES);
    const uint32_t queryBytes = AlignUp(tiling.slotRows, FRACTAL) * channels * sizeof(C);
    tiles_.InitWholeProducts(pipe, Min(MOST_PIECES, (L1_BYTES - queryBytes) / PIECE_BYTES), PIECE_BYTES);
    pipe.InitBuffer(queryQueue_, 1, queryBytes);
  }

  __aicore__ inline void Begin(const Tile&) {}
  __aicore__ inline void Prepare(const Step&) {}

  __aicore__ inline void First(const Step& step) {
    if (Source::CONVERTED || (Source::DIGITAL && step.IsFirst())) AscendC::CrossCoreWaitFlag(FLAG_KEYS);
    if (step.IsFirst()) queryTile_ = source_.Queries(queryQueue_, step);
    for (uint32_t key = 0; key < step.columns; key += CUBE_BLOCK) {
      if (IsPair(step.tile)) {
        PairScores(step, key);
      } else {
        ScoreBlock(step, key);
      }
    }
    if (step.IsLast()) queryQueue_.FreeTensor(queryTile_);
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(FLAG_SCORES);
  }
  __aicore__ inline void Second(const Step& step) {
    AscendC::CrossCoreWaitFlag(FLAG_PROBABILITIES);
    const uint32_t columns = IsPair(step.tile) ? PAIR * tiling_->valueDim : tiling_->valueDim;
    for (uint32_t column = 0; column < columns; column += SUMS * CUBE_BLOCK) {
      ProductBlocks(step, column, Min(SUMS * CUBE_BLOCK, columns - column));
    }
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(FLAG_PRODUCTS);
  }
  __aicore__ inline void Both(const Step& first, const Step& second) {
    First(first);
    Second(second);
  }

 private:
  static constexpr uint32_t L1_BYTES = 512 * 1024 - 256;
  static constexpr uint32_t DEPTH = CubeTiles<C>::DEPTH;
  static constexpr uint32_t SUMS = 2;  // products that L0C holds
  static constexpr uint32_t PAIR = SUMS;
  static constexpr uint32_t MOST_PIECES = 6;
  static constexpr uint32_t PIECE_COLUMNS = 2 * DEPTH;
  static constexpr uint32_t PIECE_BYTES = CUBE_BLOCK * PIECE_COLUMNS * sizeof(C);

  // Scores of up to 128 keys from `key` on.
  __aicore__ inline void ScoreBlock(const Step& step, uint32_t key) {
    const uint32_t keys = Min(CUBE_BLOCK, step.columns - key);
    AscendC::LocalTensor<Product> product = tiles_.AllocScores();
    for (uint32_t channel = 0; channel < tiling_->headDim; channel += PIECE_COLUMNS) {
      const uint32_t channels = Min(PIECE_COLUMNS, tiling_->headDim - channel);
      AscendC::LocalTensor<C> piece = source_.Keys(tiles_, step, key, keys, channel, channels);
      AddScores(product, step, channel, piece, keys, channels, channel == 0);
    }
    for (uint32_t channel = 0; channel < tiling_->ropeDim; channel += PIECE_COLUMNS) {
      const uint32_t channels = Min(PIECE_COLUMNS, tiling_->ropeDim - channel);
      AscendC::LocalTensor<C> piece = source_.KeyRopes(tiles_, step, key, keys, channel, channels);
      AddScores(product, step, source_.RopeColumn() + channel, piece, keys, channels, false);
    }
    tiles_.StoreScores(source_.Target(workspace_->Scores(step.Slot(), 0)[key]), product, Source::Rows(step.tile), keys,
                       workspace_->ScorePitch());
  }

  // product += queries from channel `channel` on . piece of keys
  __aicore__ inline void AddScores(const AscendC::LocalTensor<Product>& product, const Step& step, uint32_t channel,
                                   AscendC::LocalTensor<C>& piece, uint32_t keys, uint32_t channels, bool first) {
    const uint32_t rows = Source::Rows(step.tile);
    for (uint32_t d = 0; d < channels; d += DEPTH) {
      const uint32_t depth = Min(DEPTH, channels - d);
      AscendC::LocalTensor<C> left = tiles_.LoadLeft(queryTile_, rows, channel + d, depth);
      AscendC::LocalTensor<C> right = tiles_.LoadRightOfTransposed(piece, TilePart{keys, 0, keys, d, depth});
      if (d + DEPTH >= channels) tiles_.Free(piece);
      CubeTiles<C>::Multiply(product, left, right, rows, keys, depth, first && d == 0);
      tiles_.FreeLeft(left);
      tiles_.FreeRight(right);
    }
  }

  // Rows of a tile are heads of two groups, whose keys and values lie side by side in a line of memory.
  __aicore__ inline bool IsPair(const Tile& tile) const {
    return tile.rowsAreHeads && tiling_->tileHeads > tiling_->sequences.groupSize;
  }

  // The same for two groups: each with its own half of the piece.
  __aicore__ inline void PairScores(const Step& step, uint32_t key) {
    const uint32_t keys = Min(CUBE_BLOCK, step.columns - key), depth = tiling_->headDim;
    AscendC::LocalTensor<C> piece = source_.Keys(tiles_, step, key, keys, 0, PAIR * depth);
    AscendC::LocalTensor<C> left = tiles_.LoadLeft(queryTile_, step.tile.rows, 0, depth);
    AscendC::LocalTensor<Product> products[PAIR];
    for (uint32_t half = 0; half < PAIR; ++half) {
      products[half] = tiles_.AllocScores();
      AscendC::LocalTensor<C> right = tiles_.LoadRightOfTransposed(piece, TilePart{keys, 0, keys, half * depth, depth});
      CubeTiles<C>::Multiply(products[half], left, right, PairRows(half), keys, depth, true);
      tiles_.FreeRight(right);
    }
    tiles_.Free(piece);
    tiles_.FreeLeft(left);
    StorePair(workspace_->Scores(step.Slot(), 0)[key], products, keys, workspace_->ScorePitch());
  }

  // Products have all rows up to the last one that counts: the first group's rows replace what the second's has there.
  __aicore__ inline uint32_t PairRows(uint32_t half) const { return (half + 1) * tiling_->sequences.groupSize; }
  __aicore__ inline void StorePair(const AscendC::GlobalTensor<float>& target,
                                   AscendC::LocalTensor<Product> (&products)[PAIR], uint32_t columns, uint32_t pitch) {
    for (uint32_t half = PAIR; half-- > 0;) {
      tiles_.StoreScores(source_.Target(target), products[half], PairRows(half), columns, pitch);
      if (half > 0) AscendC::PipeBarrier<PIPE_FIX>();
    }
  }

  // Products with so many columns of the values: two sums over the step's keys.
  __aicore__ inline void ProductBlocks(const Step& step, uint32_t column, uint32_t columns) {
    for (uint32_t key = 0; key < step.columns; key += PIECE_COLUMNS) AddProducts(step, key, column, columns);
    if (!IsPair(step.tile)) return;
    StorePair(workspace_->Products(step.Slot(), 0), sums_, tiling_->valueDim, workspace_->ProductPitch());
  }

  // Adds a piece of probabilities times values. Each sum takes both halves of the piece in turn, so that storing the
  // first one takes no longer than what the cube has to do for the second.
  __aicore__ inline void AddProducts(const Step& step, uint32_t key, uint32_t column, uint32_t columns) {
    const bool pair = IsPair(step.tile);
    const uint32_t rows = Source::Rows(step.tile), keys = Min(PIECE_COLUMNS, step.columns - key);
    const uint32_t most = pair ? tiling_->valueDim : CUBE_BLOCK;  // columns of a sum
    AscendC::LocalTensor<C> probabilities = source_.Probabilities(tiles_, step, key, keys);
    AscendC::LocalTensor<C> left[2], values[2];
    for (uint32_t first = 0, sum = 0; first < columns; first += most, ++sum) {
      const uint32_t width = Min(most, columns - first);
      const bool last = first + most >= columns;
      for (uint32_t d = 0, half = 0; d < keys; d += DEPTH, ++half) {
        const uint32_t depth = Min(DEPTH, keys - d);
        if (first == 0) {
          values[half] = source_.Values(tiles_, step, key + d, depth, column, columns);
          left[half] = tiles_.LoadLeft(probabilities, TilePart{rows, 0, rows, d, depth});
          if (d + DEPTH >= keys) tiles_.Free(probabilities);
        }
        AscendC::LocalTensor<C> right = tiles_.LoadRight(values[half], TilePart{depth, 0, depth, first, width});
        if (last) tiles_.Free(values[half]);
        if (key + d == 0) sums_[sum] = tiles_.AllocScores();
        CubeTiles<C>::Multiply(sums_[sum], left[half], right, pair ? PairRows(sum) : rows,
                               CubeTiles<C>::RightColumns(width), depth, key + d == 0);
        tiles_.FreeRight(right);
        if (last) tiles_.FreeLeft(left[half]);
      }
      if (pair || key + keys < step.columns) continue;
      tiles_.StoreScores(source_.Target(workspace_->Products(step.Slot(), 0)[column + first]), sums_[sum], rows, width,
                         workspace_->ProductPitch());
    }
  }

  const ForwardTiling* tiling_;
  const Workspace<T, Stored>* workspace_;
  Source source_;
  CubeTiles<C> tiles_;
  typename CubeTiles<C>::L1Queue queryQueue_;
  AscendC::LocalTensor<C> queryTile_;
  AscendC::LocalTensor<Product> sums_[SUMS];
};

}  // namespace npufa
