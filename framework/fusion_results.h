// What the training operators do on every backend beside the attention itself: their seeds and their results.
#pragma once

#include <functional>

#include "attention_calls.h"

namespace npufa {

struct Seed {
  std::int64_t seed = 0, offset = 0;
};

// The caller's, or a new seed where dropout needs one and none is given. `draw` never returns 0, which stands for none.
Seed ForwardSeed(const Arguments& a, const AttentionCall<std::int64_t>& call,
                 const std::function<std::int64_t()>& draw);
Seed BackwardSeed(const Arguments& a);

void WarnAboutPlainLengths(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec);

at::Tensor NewTensor(const at::Tensor& like, const std::vector<std::int64_t>& sizes, at::ScalarType dtype, bool zero);

struct ForwardResults {
  at::Tensor out, softmax_max, softmax_sum;
};
// Replaces the arguments on the stack; integers or tensors for the seed, as the operator returns them.
void ReturnForward(const c10::OperatorHandle& op, torch::jit::Stack* stack, ForwardResults results, Seed seed,
                   std::int64_t scores);

struct Gradients {
  at::Tensor query, key, value, pse, query_rope, key_rope, sink;  // undefined for an absent input
};
void ReturnBackward(const c10::OperatorHandle& op, torch::jit::Stack* stack, Gradients gradients);

}  // namespace npufa
