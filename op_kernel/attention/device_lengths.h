// What follows from lengths that the host does not know.
#pragma once

#include "sequences.h"

namespace npufa {

// Whether packed lengths are plain ones: they sum to all tokens, which the last one alone is not.
__aicore__ inline bool ArePlain(GM_ADDR address, uint32_t count, int64_t tokens) {
  AscendC::GlobalTensor<int64_t> lengths;
  lengths.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(address));
  int64_t sum = 0, last = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const int64_t length = lengths.GetValue(i);
    if (length < 0) return false;
    if (length > 0) last = length;
    sum += length;
  }
  return sum == tokens && last != tokens;
}

__aicore__ inline void ResolveLengths(SequenceTiling& tiling, const SequenceArguments& arguments) {
  if (tiling.plainQuery && ArePlain(arguments.qLengths, tiling.batch, tiling.qTokens)) tiling.qLengths = LENGTH_EACH;
  if (tiling.plainKey && ArePlain(arguments.kvLengths, tiling.batch, tiling.kvTokens)) tiling.kvLengths = LENGTH_EACH;
  if (!tiling.packedQuery) return;
  SequenceReader reader;
  reader.Init(tiling, arguments);
  uint32_t longest = 0, last = 0;
  for (uint32_t index = 0; index < tiling.batch; ++index) {
    const uint32_t length = reader.Load(index).qLength;
    longest = Max(longest, length);
    if (length > 0) last = index;
  }
  tiling.longestQuery = longest;
  if (tiling.edgeSequence == LAST_SEQUENCE) tiling.edgeSequence = last;
}

}  // namespace npufa
