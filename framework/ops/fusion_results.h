// What the training operators do on every backend beside the attention itself: their seeds and their results.
#pragma once

#include <functional>

#include "attention_calls.h"
#include "results.h"

namespace npufa {

struct Seed {
  std::int64_t seed = 0, offset = 0;
  // Defined where only the device knows the numbers: int64, one element each.
  at::Tensor seed_on_device{}, offset_on_device{};
};

// The caller's, or a new one where dropout needs a seed and none is given. The seed of `draw` is never 0, which stands
// for none.
Seed ForwardSeed(const Arguments& a, const AttentionCall<std::int64_t>& call, const std::function<Seed()>& draw);
Seed BackwardSeed(const Arguments& a);

void WarnAboutPlainLengths(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec);

// The tensors among a forward operator's results; the seed and offset are tensors where it takes none as integers.
template <class Int>
std::vector<ResultShape<Int>> ForwardResults(const Arguments& a, const AttentionSpec<Int>& spec) {
  const at::ScalarType dtype = ToTorch(spec.dtype);
  std::vector<ResultShape<Int>> shapes;
  shapes.reserve(6);
  shapes.push_back({"attention_out", spec.OutputSizes(), dtype});
  shapes.push_back({"softmax_max", spec.StatisticsSizes(), at::kFloat});
  shapes.push_back({"softmax_sum", spec.StatisticsSizes(), at::kFloat});
  shapes.push_back({"softmax_out", {Int(0)}, dtype, false});
  if (a.Has("seed")) return shapes;
  shapes.push_back({"seed", {Int(1)}, at::kLong});
  shapes.push_back({"offset", {Int(1)}, at::kLong});
  return shapes;
}

// Replaces the arguments on the stack.
void ReturnForward(const c10::OperatorHandle& op, torch::jit::Stack* stack, std::vector<at::Tensor> results, Seed seed,
                   std::int64_t scores);

// dq, dk, dv, dpse, [dq_rope, dk_rope,] dsink; placeholders for absent inputs.
template <class Int>
std::vector<ResultShape<Int>> GradientResults(const Arguments& a) {
  const at::ScalarType dtype = a.Tensor("query").scalar_type();
  std::vector<ResultShape<Int>> shapes;
  const auto add = [&](const char* name, const char* input, at::ScalarType missing) {
    const at::Tensor t = a.OptionalTensor(input);
    const std::vector<Int> none = {Int(0)};
    shapes.push_back(t.defined() ? ResultShape<Int>{name, Desc<Int>(t).sizes, t.scalar_type()}
                                 : ResultShape<Int>{name, none, missing, false});
  };
  add("dq", "query", dtype);
  add("dk", "key", dtype);
  add("dv", "value", dtype);
  add("dpse", "pse", dtype);
  if (a.Has("query_rope")) {
    add("dq_rope", "query_rope", dtype);
    add("dk_rope", "key_rope", dtype);
  }
  add("dsink", "sink", at::kFloat);
  return shapes;
}

}  // namespace npufa
