// Cube side of the backward pass: scores of a step and the gradients of its probabilities, and two steps later the
// products that add to the gradients of values, keys and queries.
#pragma once

#include "backward_operands.h"

namespace npufa {

template <typename T>
class BackwardCube {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const BackwardTiling& tiling, const BackwardArguments& arguments,
                              const BackwardWorkspace<T>& workspace) {
    workspace_ = &workspace;
    operands_.Init(pipe, tiling, arguments, workspace);
    scoreRows_.held = productRows_.held = productScores_.held = false;
  }

  __aicore__ inline void Run(BackwardSchedule& schedule) {
    BackwardStep steps[BACKWARD_SLOTS];
    uint32_t count = 0;
    while (schedule.Next(steps[count % BACKWARD_SLOTS])) {
      const BackwardStep* earlier = count < LAG ? nullptr : &steps[(count - LAG) % BACKWARD_SLOTS];
      Both(&steps[count % BACKWARD_SLOTS], earlier);
      ++count;
    }
    for (uint32_t step = count > LAG ? count - LAG : 0; step < count; ++step) {
      Both(nullptr, &steps[step % BACKWARD_SLOTS]);
    }
    operands_.DropKeys();
  }

 private:
  static constexpr uint32_t LAG = BACKWARD_SLOTS - 1;
  static constexpr uint32_t DEPTH = CubeTiles<T>::DEPTH;
  static constexpr uint32_t SCORE_ROWS = SCORE_COLUMNS;

  // A sum of products: gradients of values, then of keys, then of queries.
  enum Target : uint32_t { VALUES = 0, KEYS = 1, QUERIES = 2, TARGETS = 3 };
  struct Position {
    uint32_t target = VALUES;
    uint32_t block = 0;  // of the target's rows
    uint32_t chunk = 0;  // of its channels
    uint32_t piece = 0;  // of the chunk's columns
    uint32_t term = 0;   // of the sum
  };

  // Score blocks of one step and products of another in turn, each at its share of the way: scores leave L0C far slower
  // than they are computed, and products fill the cube meanwhile.
  __aicore__ inline void Both(const BackwardStep* scores, const BackwardStep* products) {
    const uint32_t blocks = scores == nullptr ? 0 : ScoreBlocks(*scores);
    const uint32_t terms = products == nullptr ? 0 : Terms(*products);
    uint32_t block = 0, term = 0;
    Position position;
    while (block < blocks || term < terms) {
      if (block < blocks && (term == terms || block * terms <= term * blocks)) {
        ScoreBlock(*scores, block++);
        if (block == blocks) EndScores();
      } else {
        if (term == 0) AscendC::CrossCoreWaitFlag(FLAG_PROBABILITIES);
        Product(*products, position);
        if (++term == terms) EndProducts();
      }
    }
  }

  __aicore__ inline static uint32_t ScoreBlocks(const BackwardStep& step) {
    return 2 * CeilDiv(step.Rows(), CUBE_BLOCK) * CeilDiv(step.Columns(), CUBE_BLOCK);
  }
  __aicore__ inline uint32_t Terms(const BackwardStep& step) const {
    uint32_t terms = 0;
    for (uint32_t target = VALUES; target < TARGETS; ++target) {
      for (uint32_t c = 0; c < operands_.Chunks(SideOf(target)); ++c) {
        terms += TargetBlocks(step, target) * PiecesOf(target, c) * TermsOf(step, target);
      }
    }
    return terms;
  }

  __aicore__ inline void EndScores() {
    operands_.Drop(scoreRows_);
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(FLAG_SCORES);
  }
  __aicore__ inline void EndProducts() {
    operands_.Drop(productRows_);
    operands_.Drop(productScores_);
  }

  // Block `index` of CUBE_BLOCK x CUBE_BLOCK scores: all of query . key, then all of output gradient . value; keys that
  // share a tile in L1 follow one another.
  __aicore__ inline void ScoreBlock(const BackwardStep& step, uint32_t index) {
    const uint32_t rowBlocks = CeilDiv(step.Rows(), CUBE_BLOCK);
    const uint32_t columnBlocks = CeilDiv(step.Columns(), CUBE_BLOCK);
    const uint32_t blocks = rowBlocks * columnBlocks;
    const ScoreSide side = index < blocks ? SIDE_QUERY_KEY : SIDE_GRADIENT_VALUE;
    // Every other step begins where the one before has ended, whose last values are still in L1.
    const uint32_t inSide = step.number % 2 == 0 ? index % blocks : blocks - 1 - index % blocks;
    const uint32_t firstColumn = inSide / (2 * rowBlocks) * 2;
    const uint32_t besides = Min(2u, columnBlocks - firstColumn);
    const uint32_t inPair = inSide % (2 * rowBlocks);
    MultiplyScores(step, side, inPair / besides * CUBE_BLOCK, (firstColumn + inPair % besides) * CUBE_BLOCK);
  }

  __aicore__ inline void MultiplyScores(const BackwardStep& step, ScoreSide side, uint32_t row, uint32_t column) {
    const uint32_t rows = Min(CUBE_BLOCK, step.Rows() - row);
    const uint32_t columns = Min(CUBE_BLOCK, step.Columns() - column);
    const uint32_t key = step.InBlock(column);
    const uint32_t chunks = operands_.Chunks(side);
    // Rows of one chunk serve all blocks of the step.
    const bool allRows = chunks == 1;
    const uint32_t tileFirst = allRows ? 0 : row, tileRows = allRows ? step.Rows() : rows;
    CubeTiles<T>& tiles = operands_.Tiles();
    AscendC::LocalTensor<float> products[2];
    for (uint32_t c = 0; c < chunks; ++c) {
      const uint32_t width = operands_.Chunk(side, c).width;
      const AscendC::LocalTensor<T>& keys = operands_.Keys(step, side, key / BackwardOperands<T>::KEY_TILE_ROWS, c);
      AscendC::LocalTensor<T> right = tiles.LoadRightOfTransposed(
          keys[BackwardOperands<T>::InKeys(key)], TilePart{StoredKeys(step, key), 0, columns, 0, width});
      const AscendC::LocalTensor<T>& rowTile = operands_.Rows(scoreRows_, step, side, c, tileFirst, tileRows);
      for (uint32_t half = 0; half * SCORE_ROWS < rows; ++half) {
        const uint32_t first = half * SCORE_ROWS, count = Min(SCORE_ROWS, rows - first);
        AscendC::LocalTensor<T> left =
            tiles.LoadLeft(rowTile, TilePart{tileRows, row - tileFirst + first, count, 0, width});
        if (c == 0) products[half] = tiles.AllocScores();
        CubeTiles<T>::Multiply(products[half], left, right, count, columns, width, c == 0);
        tiles.FreeLeft(left);
        if (c + 1 < chunks) continue;
        tiles.StoreScores(workspace_->Scores(step.Slot(), side == SIDE_GRADIENT_VALUE, row + first)[column],
                          products[half], count, columns, workspace_->ScorePitch());
      }
      tiles.FreeRight(right);
    }
  }
  // Rows of the tile of keys that holds `key`, of which a product may take fewer.
  __aicore__ inline static uint32_t StoredKeys(const BackwardStep& step, uint32_t key) {
    return Min(CUBE_BLOCK, step.blockKeys - key / CUBE_BLOCK * CUBE_BLOCK);
  }

  __aicore__ inline static ScoreSide SideOf(uint32_t target) {
    return target == VALUES ? SIDE_GRADIENT_VALUE : SIDE_QUERY_KEY;
  }
  __aicore__ inline static uint32_t TargetBlocks(const BackwardStep& step, uint32_t target) {
    return target == QUERIES ? CeilDiv(step.Rows(), CUBE_BLOCK) : CeilDiv(step.Columns(), DEPTH);
  }
  __aicore__ inline static uint32_t TermsOf(const BackwardStep& step, uint32_t target) {
    return CeilDiv(target == QUERIES ? step.Columns() : step.Rows(), DEPTH);
  }

  // Sums of SCORE_COLUMNS columns.
  __aicore__ inline uint32_t PiecesOf(uint32_t target, uint32_t chunk) const {
    return CeilDiv(operands_.Chunk(SideOf(target), chunk).width, SCORE_COLUMNS);
  }
  __aicore__ inline static uint32_t FirstColumn(const Position& position) { return position.piece * SCORE_COLUMNS; }
  __aicore__ inline uint32_t WidthAt(const Position& position) const {
    const uint32_t width = operands_.Chunk(SideOf(position.target), position.chunk).width;
    return Min(SCORE_COLUMNS, width - FirstColumn(position));
  }

  // The product at `position`, which moves on.
  __aicore__ inline void Product(const BackwardStep& step, Position& position) {
    if (position.term == 0) sum_ = operands_.Tiles().AllocScores();
    if (position.target == QUERIES) {
      AddToQueries(step, position);
    } else {
      AddToKeys(step, position);
    }
    if (++position.term < TermsOf(step, position.target)) return;
    Store(step, position);
    position.term = 0;
    if (++position.piece < PiecesOf(position.target, position.chunk)) return;
    position.piece = 0;
    if (++position.chunk < operands_.Chunks(SideOf(position.target))) return;
    position.chunk = 0;
    if (++position.block < TargetBlocks(step, position.target)) return;
    position.block = 0;
    if (++position.target == QUERIES) operands_.Drop(productRows_);
  }

  // Probabilities^T . output gradients, or score gradients^T . queries.
  __aicore__ inline void AddToKeys(const BackwardStep& step, const Position& position) {
    CubeTiles<T>& tiles = operands_.Tiles();
    const ScoreSide side = SideOf(position.target);
    const uint32_t column = position.block * DEPTH, row = position.term * DEPTH;
    const uint32_t keys = Min(DEPTH, step.Columns() - column), rows = Min(DEPTH, step.Rows() - row);
    const uint32_t width = WidthAt(position);
    const AscendC::LocalTensor<T>& scores =
        operands_.Scores(productScores_, step, position.target == KEYS, 0, step.Rows(), column, keys);
    const AscendC::LocalTensor<T>& rowTile = operands_.Rows(productRows_, step, side, position.chunk, 0, step.Rows());
    AscendC::LocalTensor<T> left = tiles.LoadLeftTransposed(scores, TilePart{step.Rows(), row, rows, 0, keys});
    AscendC::LocalTensor<T> right =
        tiles.LoadRight(rowTile, TilePart{step.Rows(), row, rows, FirstColumn(position), width});
    CubeTiles<T>::Multiply(sum_, left, right, keys, width, rows, position.term == 0);
    tiles.FreeLeft(left);
    tiles.FreeRight(right);
  }

  // Score gradients . keys.
  __aicore__ inline void AddToQueries(const BackwardStep& step, const Position& position) {
    CubeTiles<T>& tiles = operands_.Tiles();
    const uint32_t row = position.block * CUBE_BLOCK, column = position.term * DEPTH;
    const uint32_t rows = Min(CUBE_BLOCK, step.Rows() - row), columns = Min(DEPTH, step.Columns() - column);
    const uint32_t firstColumn = position.term / 2 * 2 * DEPTH;
    const uint32_t width = WidthAt(position);
    const uint32_t key = step.InBlock(column);
    const AscendC::LocalTensor<T>& scores = operands_.Scores(productScores_, step, true, row, rows, firstColumn,
                                                             Min(2 * DEPTH, step.Columns() - firstColumn));
    const AscendC::LocalTensor<T>& keys =
        operands_.Keys(step, SIDE_QUERY_KEY, key / BackwardOperands<T>::KEY_TILE_ROWS, position.chunk);
    AscendC::LocalTensor<T> left = tiles.LoadLeft(scores, TilePart{rows, 0, rows, column - firstColumn, columns});
    AscendC::LocalTensor<T> right =
        tiles.LoadRight(keys[BackwardOperands<T>::InKeys(key)],
                        TilePart{StoredKeys(step, key), key % CUBE_BLOCK, columns, FirstColumn(position), width});
    CubeTiles<T>::Multiply(sum_, left, right, rows, width, columns, position.term == 0);
    tiles.FreeLeft(left);
    tiles.FreeRight(right);
  }

  // Adds the finished sum at `position` to what global memory holds.
  __aicore__ inline void Store(const BackwardStep& step, const Position& position) {
    const ChannelChunk chunk = operands_.Chunk(SideOf(position.target), position.chunk);
    const uint32_t gradient = chunk.gradient + FirstColumn(position), width = WidthAt(position);
    const Tile& tile = step.scores.tile;
    AscendC::SetAtomicAdd<float>();
    if (position.target == QUERIES) {
      const uint32_t row = position.block * CUBE_BLOCK;
      operands_.Tiles().StoreScores(workspace_->StepQuery(step, row)[gradient], sum_,
                                    Min(CUBE_BLOCK, step.Rows() - row), width, workspace_->QueryPitch());
    } else {
      const uint32_t column = position.block * DEPTH, keys = Min(DEPTH, step.Columns() - column);
      const uint64_t row = workspace_->KeyRow(tile.sequence, step.kvHead, step.scores.firstKey + column);
      if (position.target == KEYS) {
        operands_.Tiles().StoreScores(workspace_->Key(row)[gradient], sum_, keys, width, workspace_->QueryPitch());
      } else {
        operands_.Tiles().StoreScores(workspace_->Value(row)[gradient], sum_, keys, width, workspace_->ValuePitch());
      }
    }
    AscendC::SetAtomicNone();
  }

  const BackwardWorkspace<T>* workspace_;
  BackwardOperands<T> operands_;
  CachedTile<T> scoreRows_;
  CachedTile<T> productRows_;
  CachedTile<T> productScores_;
  AscendC::LocalTensor<float> sum_;
};

}  // namespace npufa
