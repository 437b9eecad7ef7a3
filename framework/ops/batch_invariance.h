#pragma once

namespace npufa {

// Whether what a sequence gives must not depend on what else is in the batch, nor on the number of cores (SPEC section
// 9c): asked for by npufa.batch_invariant(), NPUFA_BATCH_INVARIANT or torch.use_deterministic_algorithms.
bool IsBatchInvariant();

}  // namespace npufa
