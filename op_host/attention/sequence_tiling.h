// The sequences of one attention call as the kernels' SequenceTiling.
#pragma once

#include "../../op_kernel/tiling/sequence_tiling.h"
#include "../common/attention_call.h"
#include "../common/attention_spec.h"

namespace npufa {

void FillSequences(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec,
                   SequenceTiling& tiling);

// Lengths and window of one sequence as the host knows them. Padding sizes are not known to it: positions are as without.
struct HostSequence {
  std::int64_t q_length = 0, kv_length = 0;  // kv with the shared prefix
  std::int64_t stored_rows = 0;              // rows of the output
  Band band;
};
HostSequence SequenceOf(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec,
                        std::int64_t index);

// Whether all sequences have the same lengths and window.
bool SequencesAreAlike(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec);

// Rows behind the last sequence of a packed batch.
std::int64_t TailRows(const AttentionSpec<std::int64_t>& spec);

}  // namespace npufa
