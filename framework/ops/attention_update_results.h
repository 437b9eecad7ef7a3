// New tensors for the results of the operators that merge partial attentions.
#pragma once

#include "arguments.h"
#include "attention_update.h"

namespace npufa {

// The output, and the log-sum-exp or a tensor without elements.
std::vector<at::Tensor> AttentionUpdateResults(const Arguments& a, bool returns_lse);

// The output, maximum and sum.
std::vector<at::Tensor> RingUpdateResults(const Arguments& a);

}  // namespace npufa
