// What follows from lengths that the host does not know.
#pragma once

#include "sequences.h"

namespace npufa {

__aicore__ inline void ResolveLengths(SequenceTiling& tiling, const SequenceArguments& arguments) {
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
