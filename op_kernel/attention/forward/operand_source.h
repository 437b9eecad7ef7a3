// Queries, keys and values of a step as tiles in L1, from where they are stored or from their converted copies.
#pragma once

#include "../call/row_source.h"
#include "../call/schedule.h"
#include "../call/workspace.h"
#include "../tiles/cube_tiles.h"

namespace npufa {

struct CubeArguments {
  GM_ADDR query;
  GM_ADDR key;
  GM_ADDR value;
  GM_ADDR queryRope;
  GM_ADDR keyRope;
  GM_ADDR keyPrefix;
  GM_ADDR valuePrefix;
  GM_ADDR blockTable;
};

// Rows of one of key, key rope and value.
template <typename T>
class OperandRows {
 public:
  __aicore__ inline void Init(const ForwardTiling& tiling, const RowsTiling& rows, GM_ADDR stored, GM_ADDR prefix,
                              BlockTable& table) {
    stored_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(stored));
    prefix_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(prefix));
    source_.Init(tiling, rows, table);
    groupSize_ = tiling.sequences.groupSize;
  }

  // Keys [key, key + rows) of the step's head, channels [channel, channel + columns), in a tile of `storedRows` rows.
  __aicore__ inline AscendC::LocalTensor<T> Load(CubeTiles<T>& tiles, const Tile& tile, uint32_t key, uint32_t rows,
                                                 uint32_t storedRows, uint32_t channel, uint32_t columns) {
    const AscendC::LocalTensor<T> result = tiles.Alloc(storedRows, columns);
    for (uint32_t done = 0; done < rows;) {
      const RowRun run = source_.Run(tile.sequence, tile.head / groupSize_, key + done, rows - done);
      const AscendC::GlobalTensor<T>& rowsIn = run.inPrefix ? prefix_ : stored_;
      const uint64_t nzPitch = source_.ColumnPitch();
      if (nzPitch > 0) {
        CubeTiles<T>::CopyColumns(result, storedRows, done,
                                  stored_[run.offset + channel * sizeof(T) / BLOCK_BYTES * nzPitch], run.rows, columns,
                                  nzPitch);
      } else {
        CubeTiles<T>::CopyRows(result, storedRows, done, 0, rowsIn[run.offset + channel], run.rows, columns, run.pitch);
      }
      done += run.rows;
    }
    return tiles.Ready(result);
  }

 private:
  AscendC::GlobalTensor<T> stored_;
  AscendC::GlobalTensor<T> prefix_;
  RowSource source_;
  uint32_t groupSize_;
};

// Stored other than T: queries of int8 products, keys and values are read converted from the workspace, or only what is
// multiplied with int8 keys and values, as digits.
template <typename T, typename Stored>
class OperandSource {
 public:
  using C = typename CubeOperand<T, Stored>::Type;
  static constexpr bool DIGITAL = SameType<Stored, Int8Digits>::value;
  static constexpr bool CONVERTED = !DIGITAL && !SameType<T, Stored>::value;

  __aicore__ inline void Init(const ForwardTiling& tiling, const CubeArguments& arguments,
                              const Workspace<T, Stored>& workspace) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    query_.SetGlobalBuffer(reinterpret_cast<__gm__ C*>(arguments.query));
    queryRope_.SetGlobalBuffer(reinterpret_cast<__gm__ C*>(arguments.queryRope));
    table_.Init(tiling, arguments.blockTable);
    keys_.Init(tiling, tiling.key, arguments.key, arguments.keyPrefix, table_);
    values_.Init(tiling, tiling.value, arguments.value, arguments.valuePrefix, table_);
    keyRopes_.Init(tiling, tiling.keyRope, arguments.keyRope, nullptr, table_);
    valuesAreKeys_ = OneConversion(tiling, arguments.key, arguments.value);
  }

  // Rows of the left operands.
  __aicore__ inline static uint32_t Rows(const Tile& tile) { return DIGITAL ? DIGITS * tile.rows : tile.rows; }

  // All channels of a tile's queries; those of the rope follow at RopeColumn().
  __aicore__ inline AscendC::LocalTensor<C> Queries(typename CubeTiles<C>::L1Queue& queue, const Step& step) {
    const Tile& tile = step.tile;
    const uint32_t rows = Rows(tile), token = tile.sequence.qFirst + tile.firstRow;
    const AscendC::LocalTensor<C> result = CubeTiles<C>::AllocFrom(queue, rows, RopeColumn() + tiling_->ropeDim);
    if (ScalesApart<Stored>::value || (CONVERTED && tiling_->int8Products)) {
      CubeTiles<C>::CopyRows(result, rows, 0, 0, workspace_->Queries(step.KeySlot(), 0), rows, tiling_->headDim,
                             tiling_->keyPitch);
    } else {
      CubeTiles<C>::CopyRows(result, rows, 0, 0, query_[RowOffset(tiling_->query, tile, token, 0)], rows,
                             tiling_->headDim, RowDistance(tiling_->query, tile));
    }
    if (tiling_->ropeDim > 0) {
      CubeTiles<C>::CopyRows(result, rows, 0, RopeColumn(), queryRope_[RowOffset(tiling_->queryRope, tile, token, 0)],
                             rows, tiling_->ropeDim, RowDistance(tiling_->queryRope, tile));
    }
    return CubeTiles<C>::ReadyIn(queue, result);
  }
  __aicore__ inline uint32_t RopeColumn() const { return AlignUp(tiling_->headDim, BLOCK_BYTES); }

  // Rows of the step's keys from `first` on.
  __aicore__ inline AscendC::LocalTensor<C> Keys(CubeTiles<C>& tiles, const Step& step, uint32_t first, uint32_t rows,
                                                 uint32_t channel, uint32_t columns) {
    if constexpr (CONVERTED) {
      return tiles.Load(workspace_->Keys(step.KeySlot(), first)[channel], rows, columns, tiling_->keyPitch);
    } else {
      return keys_.Load(tiles, step.tile, step.firstKey + first, rows, rows, channel, columns);
    }
  }
  __aicore__ inline AscendC::LocalTensor<C> KeyRopes(CubeTiles<C>& tiles, const Step& step, uint32_t first,
                                                     uint32_t rows, uint32_t channel, uint32_t columns) {
    return keyRopes_.Load(tiles, step.tile, step.firstKey + first, rows, rows, channel, columns);
  }
  __aicore__ inline AscendC::LocalTensor<C> Values(CubeTiles<C>& tiles, const Step& step, uint32_t first, uint32_t rows,
                                                   uint32_t channel, uint32_t columns) {
    if constexpr (CONVERTED) {
      const AscendC::GlobalTensor<C> values =
          valuesAreKeys_ ? workspace_->Keys(step.KeySlot(), first) : workspace_->Values(step.KeySlot(), first);
      return tiles.Load(values[channel], rows, columns, tiling_->valuePitch);
    } else {
      // int8 values are transposed in squares of 32.
      const uint32_t storedRows = DIGITAL ? AlignUp(rows, BLOCK_BYTES) : rows;
      return values_.Load(tiles, step.tile, step.firstKey + first, rows, storedRows, channel, columns);
    }
  }
  __aicore__ inline AscendC::LocalTensor<C> Probabilities(CubeTiles<C>& tiles, const Step& step, uint32_t first,
                                                          uint32_t columns) {
    return tiles.Load(workspace_->Probabilities(step.Slot(), 0)[first], Rows(step.tile), columns,
                      workspace_->ScorePitch());
  }

  // Where products go.
  __aicore__ inline AscendC::GlobalTensor<typename CubeTiles<C>::Product> Target(
      const AscendC::GlobalTensor<float>& floats) const {
    AscendC::GlobalTensor<typename CubeTiles<C>::Product> target;
    target.SetGlobalBuffer(
        reinterpret_cast<__gm__ typename CubeTiles<C>::Product*>(const_cast<__gm__ float*>(floats.GetPhyAddr())));
    return target;
  }

 private:
  const ForwardTiling* tiling_;
  const Workspace<T, Stored>* workspace_;
  AscendC::GlobalTensor<C> query_;
  AscendC::GlobalTensor<C> queryRope_;
  BlockTable table_;
  OperandRows<C> keys_;
  OperandRows<C> values_;
  OperandRows<C> keyRopes_;
  bool valuesAreKeys_;
};

}  // namespace npufa
