// Scales and offsets of one operand of a quantised cache, as float vectors of the head or of the rows at hand.
#pragma once

#include "../call/row_source.h"
#include "../call/schedule.h"
#include "../tiles/tile_copy.h"

namespace npufa {

struct AntiquantArguments {
  GM_ADDR scale;
  GM_ADDR offset;
};

class AntiquantScales {
 public:
  // `table`: null where scales do not vary with the key.
  __aicore__ inline void Init(AscendC::TPipe& pipe, const AntiquantTiling& antiquant,
                              const AntiquantArguments& arguments, uint32_t channels, BlockTable* table,
                              NumberReader& reader) {
    reader_ = &reader;
    antiquant_ = &antiquant;
    arguments_ = arguments;
    channels_ = channels;
    head_ = NO_HEAD;
    table_ = table;
    if (antiquant.kind == SCALE_NONE) return;
    const uint32_t capacity = AlignUp(Max(channels, MAX_ROWS), FLOATS_PER_REPEAT);
    pipe.InitBuffer(scale_, capacity * sizeof(float));
    pipe.InitBuffer(offset_, capacity * sizeof(float));
    pipe.InitBuffer(blocks_, MAX_ROWS * BLOCK_BYTES);
    // Values are broadcast in whole blocks of eight.
    AscendC::Duplicate(scale_.Get<float>(), 0.0f, static_cast<int32_t>(capacity));
    AscendC::Duplicate(offset_.Get<float>(), 0.0f, static_cast<int32_t>(capacity));
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Rows that one call of Apply takes.
  static constexpr uint32_t MAX_ROWS = CUBE_BLOCK / 2;

  // Rows from `key` on whose scales are stored together.
  __aicore__ inline uint32_t RowsAtOnce(uint32_t key, uint32_t rows) const {
    return antiquant_->kind == SCALE_PER_TOKEN && antiquant_->paged
               ? Min(rows, table_->BlockSize() - key % table_->BlockSize())
               : rows;
  }

  // (tile + offset) * scale for keys [key, key + rows) of a sequence.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& tile, const Sequence& sequence, uint32_t head,
                               uint32_t key, uint32_t rows, uint32_t pitch) {
    if (antiquant_->kind == SCALE_NONE) return;
    const AscendC::LocalTensor<float> scale = scale_.Get<float>(), offset = offset_.Get<float>();
    if (antiquant_->kind == SCALE_PER_TOKEN) {
      LoadTokens(sequence, head, key, rows);
      if (antiquant_->hasOffset) AddRows(tile, Blocks(offset, rows), rows, channels_, pitch);
      AscendC::PipeBarrier<PIPE_V>();
      MultiplyRows(tile, Blocks(scale, rows), rows, channels_, pitch);
    } else {
      LoadHead(head);
      if (antiquant_->hasOffset) AddColumns(tile, offset, rows, channels_, pitch);
      AscendC::PipeBarrier<PIPE_V>();
      MultiplyColumns(tile, scale, rows, channels_, pitch);
    }
    AscendC::PipeBarrier<PIPE_V>();
  }

  // The factors alone, not per token: values * scale for a head, then values * offset for the same one.
  __aicore__ inline void MultiplyScale(const AscendC::LocalTensor<float>& values, uint32_t head, uint32_t rows,
                                       uint32_t pitch) {
    LoadHead(head);
    MultiplyColumns(values, scale_.Get<float>(), rows, channels_, pitch);
    AscendC::PipeBarrier<PIPE_V>();
  }
  __aicore__ inline void MultiplyOffset(const AscendC::LocalTensor<float>& values, uint32_t rows, uint32_t pitch) {
    MultiplyColumns(values, offset_.Get<float>(), rows, channels_, pitch);
    AscendC::PipeBarrier<PIPE_V>();
  }

 private:
  static constexpr uint32_t NO_HEAD = 0xffffffff;

  // Per channel, or one value in all channels.
  __aicore__ inline void LoadHead(uint32_t head) {
    if (head == head_) return;
    head_ = head;
    const bool perChannel = antiquant_->kind == SCALE_PER_CHANNEL;
    Read(antiquant_->first + head * antiquant_->strides.head, perChannel ? channels_ : 1);
    if (perChannel) return;
    SpreadFirst(scale_.Get<float>(), channels_);
    if (antiquant_->hasOffset) SpreadFirst(offset_.Get<float>(), channels_);
  }

  __aicore__ inline void LoadTokens(const Sequence& sequence, uint32_t head, uint32_t key, uint32_t rows) {
    const TensorStrides& strides = antiquant_->strides;
    const uint64_t first = antiquant_->first + head * strides.head;
    if (antiquant_->paged) {
      Read(first + table_->Block(sequence.index, key) * strides.batch + key % table_->BlockSize(), rows);
    } else {
      Read(first + sequence.batch * strides.batch + sequence.maskColumn + key, rows);
    }
  }

  __aicore__ inline void Read(uint64_t first, uint32_t count) {
    reader_->Read(scale_.Get<float>(), arguments_.scale, first, count);
    if (antiquant_->hasOffset) reader_->Read(offset_.Get<float>(), arguments_.offset, first, count);
  }

  __aicore__ inline AscendC::LocalTensor<float> Blocks(const AscendC::LocalTensor<float>& values, uint32_t rows) {
    const AscendC::LocalTensor<float> blocks = blocks_.Get<float>();
    AscendC::PipeBarrier<PIPE_V>();
    BroadcastRows(blocks, values, rows);
    AscendC::PipeBarrier<PIPE_V>();
    return blocks;
  }

  const AntiquantTiling* antiquant_;
  AntiquantArguments arguments_;
  BlockTable* table_;
  NumberReader* reader_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> scale_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> offset_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> blocks_;
  uint32_t channels_;
  uint32_t head_;
};

}  // namespace npufa
