// The GM side of a transfer as the time model reads it: equal bursts at one stride.
#pragma once

#include "record.h"
#include "types.h"

namespace npufa_sim {

inline bool IsGmTransfer(OpClass op) { return op >= OpClass::kGmToUb && op <= OpClass::kL0cToGm; }

// Rows and blocks that do not form one regular sequence count as if their blocks followed each other at block_stride; a
// further GM operand of the same instruction as if it continued the first.
inline void SetGmBursts(Record& record, const TensorRef& tensor, const Extent& extent) {
  const bool first = record.gm_address == 0;
  if (first) record.gm_address = tensor.address + extent.offset;
  if (!IsGmTransfer(record.op)) return;
  if (tensor.past_l2) record.manner = Manner::kPastL2;
  std::int64_t bytes = extent.bytes, bursts = extent.blocks, stride = extent.block_stride;
  const bool joined = bursts == 1 || stride == bytes;
  if (joined) {
    bytes *= bursts;
    bursts = extent.rows;
    stride = extent.row_stride;
    if (bursts > 1 && stride == bytes) {
      bytes *= bursts;
      bursts = 1;
    }
  } else {
    bursts *= extent.rows;
  }
  if (!first) {
    record.a += static_cast<std::uint32_t>(bytes * bursts);
    record.b += static_cast<std::uint32_t>(bursts);
    return;
  }
  record.a = static_cast<std::uint32_t>(bytes * bursts);
  record.b = static_cast<std::uint32_t>(bursts);
  record.c = static_cast<std::uint32_t>(bytes);
  record.event = bursts > 1 ? static_cast<std::uint32_t>(stride) : 0;
}

}  // namespace npufa_sim
