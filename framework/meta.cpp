// Shape functions: the same validation as every backend, over symbolic sizes.
#include "advance_step.h"
#include "attention_calls.h"
#include "describe.h"
#include "ops/atb_calls.h"
#include "ops/fusion_results.h"
#include "ops/inference_results.h"
#include "registration.h"

namespace npufa {

namespace {

using c10::SymInt;
using torch::jit::Stack;

void FusionMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {"actual_seq_qlen", "actual_seq_kvlen"});
  const AttentionCall<SymInt> call = FusionCall<SymInt>(a);
  const AttentionSpec<SymInt> spec = Describe(call);
  std::vector<at::Tensor> results = MakeResults(a, ForwardResults(a, spec));
  std::vector<c10::IValue> integers;
  if (a.Has("seed")) {
    // A seed to be drawn stays 0: there is nothing to draw it for. Fake tensors get symbols from graph/_drawn_seed.py.
    integers = {a.At("seed"), a.At("offset"), CountScores(spec)};
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
std::vector<at::Tensor> InferenceShapes(const Arguments& a) {
  const AttentionCall<SymInt> call = InferenceCall<SymInt>(a, kind);
  a.RequireOneDevice("query", {call.names.q_lens, call.names.kv_lens});
  return MakeResults(a, InferenceResults(call, Describe(call)));
}

template <OpKind kind>
void InferenceMeta(const c10::OperatorHandle& op, Stack* stack) {
  ReturnResults(op, stack, InferenceShapes<kind>(Arguments(op, *stack)));
}

void AtbMeta(const c10::OperatorHandle& op, Stack* stack) {
  AtbCall::Run(op, *stack, InferenceShapes<OpKind::kFusedInfer>);
  AtbCall::Return(op, stack);
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
  Register<&AtbMeta>(m, kAtbOperators);
  m.impl("npu_advance_step_flashattn", torch::CppFunction::makeFromBoxedFunction<&AdvanceStepMeta>());
}

}  // namespace npufa
