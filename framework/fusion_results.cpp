#include "fusion_results.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

namespace npufa {

namespace {

std::int64_t ReadScalar(const Arguments& a, const char* name) {
  if (!a.Has(name)) return 0;
  const c10::IValue& value = a.At(name);
  if (value.isNone()) return 0;
  if (!value.isTensor()) return a.Integer(name);
  const at::Tensor t = value.toTensor();
  if (t.numel() != 1 || t.scalar_type() != at::kLong) {
    Fail(a.Op(), name, "is not one int64", Desc<std::int64_t>(t).sizes, "an int64 tensor with one element");
  }
  return t.reshape(-1).select(0, 0).item<std::int64_t>();
}

bool HasArgument(const c10::OperatorHandle& op, const char* name) {
  return op.schema().argumentIndexWithName(name).has_value();
}

}  // namespace

Seed ForwardSeed(const Arguments& a, const AttentionCall<std::int64_t>& call,
                 const std::function<std::int64_t()>& draw) {
  Seed s{a.Integer("seed"), a.Integer("offset")};
  if (call.keep_prob < 1.0 && s.seed == 0 && !call.dropout_mask) s.seed = draw();
  return s;
}

Seed BackwardSeed(const Arguments& a) { return {ReadScalar(a, "seed"), ReadScalar(a, "offset")}; }

void WarnAboutPlainLengths(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec) {
  if (!spec.plain_lengths) return;
  TORCH_WARN_ONCE("npufa::", call.op, ": actual_seq_qlen/actual_seq_kvlen sum to T and are taken as plain lengths; the "
                  "documented form is cumulative, e.g. [2, 5, 9] for sequences of 2, 3 and 4 tokens");
}

at::Tensor NewTensor(const at::Tensor& like, const std::vector<std::int64_t>& sizes, at::ScalarType dtype, bool zero) {
  const auto options = like.options().dtype(dtype);
  return zero ? at::zeros(sizes, options) : at::empty(sizes, options);
}

void ReturnForward(const c10::OperatorHandle& op, torch::jit::Stack* stack, ForwardResults results, Seed seed,
                   std::int64_t scores) {
  const at::Tensor like = results.out;
  torch::jit::drop(*stack, op.schema().arguments().size());
  torch::jit::push(*stack, std::move(results.out), std::move(results.softmax_max), std::move(results.softmax_sum),
                   NewTensor(like, {0}, like.scalar_type(), false));
  if (HasArgument(op, "seed")) {
    torch::jit::push(*stack, seed.seed, seed.offset, scores);
  } else {
    const auto scalar = [&](std::int64_t v) { return at::empty({1}, like.options().dtype(at::kLong)).fill_(v); };
    torch::jit::push(*stack, scalar(seed.seed), scalar(seed.offset));
  }
}

void ReturnBackward(const c10::OperatorHandle& op, torch::jit::Stack* stack, Gradients g) {
  const at::Tensor like = g.query;
  const auto or_empty = [&](at::Tensor& t, at::ScalarType dtype) {
    return t.defined() ? std::move(t) : NewTensor(like, {0}, dtype, false);
  };
  const bool ropes = HasArgument(op, "query_rope");
  const at::ScalarType dtype = like.scalar_type();
  torch::jit::drop(*stack, op.schema().arguments().size());
  torch::jit::push(*stack, std::move(g.query), std::move(g.key), std::move(g.value), or_empty(g.pse, dtype));
  if (ropes) torch::jit::push(*stack, or_empty(g.query_rope, dtype), or_empty(g.key_rope, dtype));
  torch::jit::push(*stack, or_empty(g.sink, at::kFloat));
}

}  // namespace npufa
