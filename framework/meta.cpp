// Shape functions: the same validation as every backend, over symbolic sizes.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "attention_calls.h"
#include "describe.h"

namespace npufa {

namespace {

using c10::SymInt;
using torch::jit::Stack;

at::Tensor Empty(const at::Tensor& like, const std::vector<SymInt>& sizes, at::ScalarType dtype) {
  return at::empty_symint(sizes, like.options().dtype(dtype));
}

at::Tensor EmptyLike(const at::Tensor& like) { return Empty(like, like.sym_sizes().vec(), like.scalar_type()); }

at::Tensor NoTensor(const at::Tensor& like, at::ScalarType dtype) { return Empty(like, {SymInt(0)}, dtype); }

// A random seed becomes a constant of the traced graph where it is returned as an integer.
void RequireKnownSeed(const Arguments& a) {
  if (!a.Has("seed") || a.Number("keep_prob") >= 1.0) return;
  if (a.Integer("seed") != 0 || a.OptionalTensor("dropout_mask").defined()) return;
  Fail(a.Op(), "seed", "cannot be drawn while a graph is traced", 0,
       "a seed, a dropout_mask, or npu_fusion_attention_v3, which returns its seed as a tensor");
}

void FusionMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {"actual_seq_qlen", "actual_seq_kvlen"});
  const AttentionCall<SymInt> call = FusionCall<SymInt>(a);
  const AttentionSpec<SymInt> spec = Describe(call);
  RequireKnownSeed(a);
  const at::Tensor query = a.Tensor("query");
  std::vector<c10::IValue> outputs = {Empty(query, spec.OutputSizes(), query.scalar_type()),
                                      Empty(query, spec.StatisticsSizes(), at::kFloat),
                                      Empty(query, spec.StatisticsSizes(), at::kFloat),
                                      NoTensor(query, query.scalar_type())};
  if (a.Has("seed")) {
    outputs.emplace_back(a.Integer("seed"));
    outputs.emplace_back(a.Integer("offset"));
    outputs.emplace_back(CountScores(spec).guard_int(__FILE__, __LINE__));
  } else {
    outputs.emplace_back(Empty(query, {SymInt(1)}, at::kLong));
    outputs.emplace_back(Empty(query, {SymInt(1)}, at::kLong));
  }
  torch::jit::drop(*stack, op.schema().arguments().size());
  for (c10::IValue& o : outputs) stack->push_back(std::move(o));
}

void FusionGradMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {"actual_seq_qlen", "actual_seq_kvlen", "seed", "offset"});
  const AttentionSpec<SymInt> spec = Describe(FusionCall<SymInt>(a));
  CheckGradInputs(a, spec);
  const at::Tensor query = a.Tensor("query");
  const auto like = [&](const char* name, at::ScalarType missing) {
    const at::Tensor t = a.OptionalTensor(name);
    return t.defined() ? EmptyLike(t) : NoTensor(query, missing);
  };
  const at::ScalarType dtype = query.scalar_type();
  std::vector<at::Tensor> outputs = {EmptyLike(query), EmptyLike(a.Tensor("key")), EmptyLike(a.Tensor("value")),
                                     like("pse", dtype)};
  if (a.Has("query_rope")) {
    outputs.push_back(like("query_rope", dtype));
    outputs.push_back(like("key_rope", dtype));
  }
  outputs.push_back(like("sink", at::kFloat));
  torch::jit::drop(*stack, op.schema().arguments().size());
  for (at::Tensor& t : outputs) stack->emplace_back(std::move(t));
}

template <OpKind kind>
void InferenceMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {});
  const AttentionCall<SymInt> call = InferenceCall<SymInt>(a, kind);
  const AttentionSpec<SymInt> spec = Describe(call);
  const at::Tensor query = a.Tensor("query");
  at::Tensor out = Empty(query, spec.OutputSizes(), ToTorch(spec.out_dtype));
  at::Tensor lse;
  if (kind == OpKind::kFusedInfer) {
    lse = call.softmax_lse ? Empty(query, spec.LseSizes(), at::kFloat) : NoTensor(query, at::kFloat);
  }
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(std::move(out));
  if (kind == OpKind::kFusedInfer) stack->emplace_back(std::move(lse));
}

void AdvanceStepMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input_tokens", {});
  CheckAdvanceStep(ReadAdvanceStep<SymInt>(a));
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, Meta, m) {
  using torch::CppFunction;
  for (const char* name : {"npu_fusion_attention", "npu_fusion_attention_v2", "npu_fusion_attention_v3"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&FusionMeta>());
  }
  for (const char* name : {"npu_fusion_attention_grad", "npu_fusion_attention_grad_v2", "npu_fusion_attention_grad_v3",
                           "_npu_fusion_attention_grad_masked"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&FusionGradMeta>());
  }
  m.impl("npu_prompt_flash_attention", CppFunction::makeFromBoxedFunction<&InferenceMeta<OpKind::kPrompt>>());
  m.impl("npu_incre_flash_attention", CppFunction::makeFromBoxedFunction<&InferenceMeta<OpKind::kIncre>>());
  m.impl("npu_fused_infer_attention_score", CppFunction::makeFromBoxedFunction<&InferenceMeta<OpKind::kFusedInfer>>());
  m.impl("npu_advance_step_flashattn", CppFunction::makeFromBoxedFunction<&AdvanceStepMeta>());
}

}  // namespace npufa
