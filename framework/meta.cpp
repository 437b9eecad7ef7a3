// Shape functions: the same validation as every backend, over symbolic sizes.
#include "attention_calls.h"
#include "describe.h"
#include "fusion_results.h"
#include "inference_results.h"
#include "registration.h"

namespace npufa {

namespace {

using c10::SymInt;
using torch::jit::Stack;

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
  std::vector<at::Tensor> results = MakeResults(a, ForwardResults(a, spec));
  std::vector<c10::IValue> integers;
  if (a.Has("seed")) {
    integers = {a.Integer("seed"), a.Integer("offset"), CountScores(spec).guard_int(__FILE__, __LINE__)};
  }
  ReturnResults(op, stack, std::move(results));
  for (c10::IValue& integer : integers) stack->push_back(std::move(integer));
}

void FusionGradMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {"actual_seq_qlen", "actual_seq_kvlen", "seed", "offset"});
  const AttentionSpec<SymInt> spec = Describe(FusionCall<SymInt>(a));
  CheckGradInputs(a, spec);
  ReturnResults(op, stack, MakeResults(a, GradientResults<SymInt>(a)));
}

template <OpKind kind>
void InferenceMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  const AttentionCall<SymInt> call = InferenceCall<SymInt>(a, kind);
  a.RequireOneDevice("query", {call.names.q_lens, call.names.kv_lens});
  const AttentionSpec<SymInt> spec = Describe(call);
  ReturnResults(op, stack, MakeResults(a, InferenceResults(call, spec)));
}

void AdvanceStepMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input_tokens", {});
  CheckAdvanceStep(ReadAdvanceStep<SymInt>(a));
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, Meta, m) {
  Register<&FusionMeta>(m, kFusionOperators);
  Register<&FusionMeta>(m, kFusionOut);
  Register<&FusionGradMeta>(m, kFusionGradOperators);
  Register<&FusionGradMeta>(m, kFusionGradOut);
  Register<&InferenceMeta<OpKind::kPrompt>>(m, kPromptOperators);
  Register<&InferenceMeta<OpKind::kIncre>>(m, kIncreOperators);
  Register<&InferenceMeta<OpKind::kFusedInfer>>(m, kFusedInferOperators);
  Register<&InferenceMeta<OpKind::kFusedInfer>>(m, kFusedInferOut);
  m.impl("npu_advance_step_flashattn", torch::CppFunction::makeFromBoxedFunction<&AdvanceStepMeta>());
}

}  // namespace npufa
