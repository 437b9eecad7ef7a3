// The sequences of a call one after the other: where their tokens lie and which keys their rows keep.
#pragma once

#include "../../tiling/sequence_tiling.h"
#include "../tiles/utils.h"

namespace npufa {

// Device addresses of what describes the sequences; unused ones may be null.
struct SequenceArguments {
  GM_ADDR qLengths;
  GM_ADDR kvLengths;
  GM_ADDR qPadding;  // one int64: tokens of padding behind the sequence
  GM_ADDR kvPadding;
  GM_ADDR prefix;  // int64 per sequence
};

// Lengths come in one of two inputs: values that the host knew, or a tensor.
__aicore__ inline GM_ADDR Either(GM_ADDR list, GM_ADDR tensor) { return list != nullptr ? list : tensor; }

struct Sequence {
  uint32_t index;
  uint32_t batch;      // index into batched tensors
  uint32_t qLength;    // rows that take part
  uint32_t kvLength;   // keys that take part, with the shared prefix
  uint32_t qFirst;     // stored position of row 0
  uint32_t kvFirst;    // stored position of the first key behind the shared prefix
  uint32_t qStored;    // rows that exist in the output: all of them are written
  int64_t beginShift;  // row i keeps keys [i + beginShift, i + endShift] and all below prefixKeys
  int64_t endShift;
  uint32_t prefixKeys;
  // Score (head, i, j) is bit firstScore + (head * scoreRows + i) * scoreColumns + j of a dropout mask.
  uint64_t firstScore;
  uint64_t scoreRows;
  uint64_t scoreColumns;

  // Masks and biases of padded batches are indexed by storage position, and so are biases of a packed query's tokens.
  uint32_t maskRow;
  uint32_t maskColumn;

  // Keys [begin, end) of row i.
  __aicore__ inline uint32_t Begin(uint32_t row) const { return Clip(row + beginShift); }
  __aicore__ inline uint32_t End(uint32_t row) const { return Max(Clip(row + endShift + 1), prefixKeys); }

 private:
  __aicore__ inline uint32_t Clip(int64_t key) const {
    return static_cast<uint32_t>(Max<int64_t>(0, Min<int64_t>(key, kvLength)));
  }
};

class SequenceReader {
 public:
  __aicore__ inline void Init(const SequenceTiling& tiling, const SequenceArguments& arguments) {
    tiling_ = &tiling;
    qLengths_.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(arguments.qLengths));
    kvLengths_.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(arguments.kvLengths));
    prefix_.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(arguments.prefix));
    qPadding_ = tiling.leftPaddedQuery ? Padding(arguments.qPadding) : 0;
    kvPadding_ = tiling.leftPaddedKey ? Padding(arguments.kvPadding) : 0;
    nextIndex_ = 0;
    qNext_ = kvNext_ = 0;
    nextScore_ = 0;
  }

  // Sequences, with the padding tokens behind a packed batch as one more that has no rows.
  __aicore__ inline uint32_t Count() const { return tiling_->batch + tiling_->packedQuery; }

  // Indices must not decrease from call to call. Only packed sequences depend on those before them.
  __aicore__ inline const Sequence& Load(uint32_t index) {
    if (!tiling_->packedQuery && !tiling_->packedKey && nextIndex_ < index) {
      const uint64_t scores = static_cast<uint64_t>(tiling_->qTokens) * tiling_->kvTokens;
      nextScore_ += (index - nextIndex_) * tiling_->heads * scores;
      nextIndex_ = index;
    }
    while (nextIndex_ <= index) Advance();
    return sequence_;
  }

 private:
  __aicore__ inline static int64_t Padding(GM_ADDR address) {
    AscendC::GlobalTensor<int64_t> tensor;
    tensor.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(address));
    return Max<int64_t>(0, tensor.GetValue(0));
  }

  __aicore__ inline void Advance() {
    Sequence& s = sequence_;
    s.index = nextIndex_;
    s.batch = nextIndex_;
    const bool tail = nextIndex_ == tiling_->batch;
    const uint32_t qTokens = tail ? 0 : Length(qLengths_, tiling_->qLengths, tiling_->qTokens, qNext_);
    const uint32_t kvTokens = tail ? 0 : Length(kvLengths_, tiling_->kvLengths, tiling_->kvTokens, kvNext_);
    s.qLength = Min(qTokens, tiling_->mostQuery);
    s.kvLength = Min(kvTokens, tiling_->mostKey);
    s.qFirst = First(tiling_->packedQuery, tiling_->leftPaddedQuery, tiling_->qTokens, qPadding_, qNext_, s.qLength);
    s.kvFirst = First(tiling_->packedKey, tiling_->leftPaddedKey, tiling_->kvTokens, kvPadding_, kvNext_, s.kvLength);
    s.qStored = !tiling_->packedQuery ? tiling_->qTokens : tail ? tiling_->qTokens - qNext_ : qTokens;
    s.maskRow = tiling_->packedQuery && !tiling_->biasOfTokens ? 0 : s.qFirst;
    s.maskColumn = tiling_->packedQuery ? 0 : s.kvFirst;
    s.firstScore = nextScore_;
    s.scoreRows = tiling_->packedQuery ? s.qLength : tiling_->qTokens;
    s.scoreColumns = tiling_->packedQuery ? s.kvLength : tiling_->kvTokens;
    qNext_ += tiling_->packedQuery ? qTokens : 0;
    kvNext_ += tiling_->packedKey ? kvTokens : 0;
    nextScore_ += tiling_->heads * s.scoreRows * s.scoreColumns;
    if (!tail) s.kvLength += tiling_->prefixTokens;
    SetWindow(nextIndex_ == tiling_->edgeSequence ? tiling_->edgeWindow : tiling_->window);
    s.prefixKeys =
        tiling_->keepsPrefix && !tail ? Min(static_cast<uint32_t>(prefix_.GetValue(nextIndex_)), s.kvLength) : 0;
    ++nextIndex_;
  }

  __aicore__ inline uint32_t Length(const AscendC::GlobalTensor<int64_t>& lengths, uint32_t source, uint32_t full,
                                    uint32_t before) const {
    if (source == LENGTH_FULL) return full;
    const int64_t value = Min<int64_t>(lengths.GetValue(source == LENGTH_COMMON ? 0 : nextIndex_), full);
    const int64_t begin = source == LENGTH_CUMULATIVE ? before : 0;
    return static_cast<uint32_t>(Max<int64_t>(0, value - begin));
  }

  // Stored position of the first token. Tokens that would begin before the storage take no part.
  __aicore__ inline static uint32_t First(uint32_t packed, uint32_t leftPadded, uint32_t tokens, int64_t padding,
                                          uint32_t before, uint32_t& length) {
    if (packed) return before;
    if (!leftPadded) return 0;
    const int64_t first = static_cast<int64_t>(tokens) - padding - length;
    if (first >= 0) return static_cast<uint32_t>(first);
    length = 0;
    return 0;
  }

  __aicore__ inline void SetWindow(const WindowRule& rule) {
    sequence_.beginShift = rule.beginShift + Origin(rule.beginOrigin);
    sequence_.endShift = rule.endShift + Origin(rule.endOrigin);
  }
  __aicore__ inline int64_t Origin(uint32_t origin) const {
    const Sequence& s = sequence_;
    if (origin == ORIGIN_CORNER) return static_cast<int64_t>(s.kvLength) - s.qLength;
    if (origin == ORIGIN_STORAGE) return static_cast<int64_t>(s.maskRow) - s.maskColumn;
    return 0;
  }

  const SequenceTiling* tiling_;
  AscendC::GlobalTensor<int64_t> qLengths_;
  AscendC::GlobalTensor<int64_t> kvLengths_;
  AscendC::GlobalTensor<int64_t> prefix_;
  int64_t qPadding_;
  int64_t kvPadding_;
  uint32_t nextIndex_;  // sequence that Advance() reads
  uint32_t qNext_;      // tokens of the sequences before it
  uint32_t kvNext_;
  uint64_t nextScore_;
  Sequence sequence_;
};

}  // namespace npufa
