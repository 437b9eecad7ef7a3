// Keys and values of a step (and the queries of a tile) in the type of the arithmetic, where they are stored in another.
#pragma once

#include "../stored/conversion.h"

namespace npufa {

struct StoredArguments {
  GM_ADDR query;
  GM_ADDR key;
  GM_ADDR value;
  GM_ADDR keyPrefix;
  GM_ADDR valuePrefix;
  GM_ADDR blockTable;
  AntiquantArguments keyAntiquant;
  AntiquantArguments valueAntiquant;
};

template <typename T, typename Stored>
class Preparation {
 public:
  using OutQueue = AscendC::TQue<AscendC::TPosition::VECOUT, 1>;

  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, const StoredArguments& arguments,
                              const GroupWorkspace<T>& workspace, OutQueue& outQueue, NumberReader& reader,
                              uint32_t subBlock) {
    tiling_ = &tiling;
    arguments_ = arguments;
    workspace_ = &workspace;
    subBlock_ = subBlock;
    conversion_.Init(pipe, tiling, outQueue);
    table_.Init(tiling, arguments.blockTable);
    keys_.Init(tiling, tiling.key, table_);
    values_.Init(tiling, tiling.value, table_);
    if constexpr (ScalesApart<Stored>::value) return;
    keyScales_.Init(pipe, tiling.keyAntiquant, arguments.keyAntiquant, tiling.headDim, &table_, reader);
    valueScales_.Init(pipe, tiling.valueAntiquant, arguments.valueAntiquant, tiling.valueDim, &table_, reader);
  }

  // This vector core's half of the rows.
  __aicore__ inline void Run(const Step& step) {
    if (tiling_->int8Products && step.IsFirst()) Queries(step);
    const uint32_t middle = Min(AlignUp(CeilDiv(step.columns, 2), FLOATS_PER_BLOCK), step.columns);
    const uint32_t begin = subBlock_ == 0 ? 0 : middle, end = subBlock_ == 0 ? middle : step.columns;
    const uint32_t slot = step.KeySlot();
    Rows(step, begin, end, keys_, keyScales_, arguments_.key, arguments_.keyPrefix, tiling_->headDim,
         workspace_->Keys(slot, 0), tiling_->keyPitch);
    if (OneConversion(*tiling_, arguments_.key, arguments_.value)) return;
    Rows(step, begin, end, values_, valueScales_, arguments_.value, arguments_.valuePrefix, tiling_->valueDim,
         workspace_->Values(slot, 0), tiling_->valuePitch);
  }

 private:
  __aicore__ inline void Rows(const Step& step, uint32_t begin, uint32_t end, RowSource& source,
                              AntiquantScales& scales, GM_ADDR stored, GM_ADDR prefix, uint32_t channels,
                              const AscendC::GlobalTensor<T>& target, uint32_t pitch) {
    const Sequence& sequence = step.tile.sequence;
    const uint32_t head = step.tile.head / tiling_->sequences.groupSize;
    const uint32_t atOnce = conversion_.RowsAtOnce(channels);
    for (uint32_t row = begin; row < end;) {
      const uint32_t key = step.firstKey + row;
      uint32_t rows = Min(atOnce, end - row);
      if constexpr (!ScalesApart<Stored>::value) rows = scales.RowsAtOnce(key, rows);
      AscendC::LocalTensor<uint8_t> raw = conversion_.Alloc();
      for (uint32_t done = 0; done < rows;) {
        const RowRun run = source.Run(sequence, head, key + done, rows - done);
        if (source.ColumnPitch() > 0) {
          Conversion<T, Stored>::LoadColumns(raw, done, stored, run.offset, source.ColumnPitch(), run.rows, channels);
        } else {
          Conversion<T, Stored>::Load(raw, done, run.inPrefix ? prefix : stored, run.offset, run.pitch, run.rows,
                                      channels);
        }
        done += run.rows;
      }
      conversion_.Finish(raw, &scales, sequence, head, key, rows, channels, target[static_cast<uint64_t>(row) * pitch],
                         pitch);
      row += rows;
    }
  }

  __aicore__ inline void Queries(const Step& step) {
    const Tile& tile = step.tile;
    const uint32_t middle = CeilDiv(tile.rows, 2);
    const uint32_t begin = subBlock_ == 0 ? 0 : middle, end = subBlock_ == 0 ? middle : tile.rows;
    const uint32_t atOnce = conversion_.RowsAtOnce(tiling_->headDim);
    for (uint32_t row = begin; row < end; row += atOnce) {
      const uint32_t rows = Min(atOnce, end - row);
      AscendC::LocalTensor<uint8_t> raw = conversion_.Alloc();
      const uint64_t offset = RowOffset(tiling_->query, tile, tile.sequence.qFirst + tile.firstRow, row);
      Conversion<T, Stored>::Load(raw, 0, arguments_.query, offset, RowDistance(tiling_->query, tile), rows,
                                  tiling_->headDim);
      conversion_.Finish(raw, nullptr, tile.sequence, tile.head, 0, rows, tiling_->headDim,
                         workspace_->Queries(step.KeySlot(), row), tiling_->keyPitch);
    }
  }

  const ForwardTiling* tiling_;
  StoredArguments arguments_;
  const GroupWorkspace<T>* workspace_;
  uint32_t subBlock_;
  Conversion<T, Stored> conversion_;
  BlockTable table_;
  RowSource keys_;
  RowSource values_;
  AntiquantScales keyScales_;
  AntiquantScales valueScales_;
};

}  // namespace npufa
