// npu_prompt_flash_attention, npu_incre_flash_attention and npu_fused_infer_attention_score on CPU tensors.
#include <limits>

#include "describe.h"
#include "ops/atb_calls.h"
#include "ops/inference_results.h"
#include "problem_builder.h"
#include "registration.h"

namespace npufa::cpu {

namespace {

using torch::jit::Stack;

// Scales of an int8 output as float32, per tensor or per output channel.
OutputQuantisation ReadOutputQuantisation(const Arguments& a, const Call& call, const Spec& spec, BuiltProblem* built) {
  OutputQuantisation q;
  const at::Tensor scale = a.OptionalTensor(call.names.quant_scale2);
  if (!scale.defined()) return q;
  const auto read = [&](const at::Tensor& t) {
    built->owned.push_back(t.to(at::kFloat).contiguous());
    return built->owned.back().const_data_ptr<float>();
  };
  q.scale = read(scale);
  const at::Tensor offset = a.OptionalTensor(call.names.quant_offset2);
  if (offset.defined()) q.offset = read(offset);
  if (scale.numel() > 1) {
    q.head = spec.value_dim;
    q.channel = 1;
  }
  return q;
}

void AddLse(const at::Tensor& lse, const Spec& spec, ForwardOutputs* outputs) {
  outputs->softmax_lse = lse.data_ptr<float>();
  outputs->lse_batch = spec.IsPackedBatch() ? 0 : lse.stride(0);
  outputs->lse_head = lse.stride(1);
  outputs->lse_token = lse.stride(spec.IsPackedBatch() ? 0 : 2);
}

template <OpKind kind>
std::vector<at::Tensor> RunInference(const Arguments& a) {
  a.RequireOneDevice("query", {});
  const Call call = InferenceCall<std::int64_t>(a, kind);
  const Spec spec = Describe(call);
  BuiltProblem built = BuildInference(a, call, spec);
  ForwardOutputs outputs;
  outputs.quantisation = ReadOutputQuantisation(a, call, spec, &built);

  std::vector<at::Tensor> results = MakeResults(a, InferenceResults(call, spec));
  if (built.partial_rows) results[0].zero_();
  outputs.out = View(results[0], spec.out_layout, spec.heads);
  if (call.softmax_lse) {
    if (built.partial_rows) results[1].fill_(std::numeric_limits<float>::infinity());
    AddLse(results[1], spec, &outputs);
  }
  Forward(built.problem, outputs, TorchExecutor());
  return results;
}

template <OpKind kind>
void Inference(const c10::OperatorHandle& op, Stack* stack) {
  ReturnResults(op, stack, RunInference<kind>(Arguments(op, *stack)));
}

void Atb(const c10::OperatorHandle& op, Stack* stack) {
  AtbCall::Run(op, *stack, RunInference<OpKind::kFusedInfer>);
  AtbCall::Return(op, stack);
}

// The same checks as the call's; this backend needs none.
void Check(const Arguments& a) {
  a.RequireOneDevice("query", {});
  const Call call = InferenceCall<std::int64_t>(a, OpKind::kFusedInfer);
  const Spec spec = Describe(call);
  if (a.Has("out")) MakeResults(a, InferenceResults(call, spec));
}

void MaxWorkspace(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  Check(a);
  ReturnWorkspace(op, stack, a.Tensor("query"), 0);
}

void AtbWorkspace(const c10::OperatorHandle& op, Stack* stack) {
  AtbCall::Run(op, *stack, Check);
  ReturnWorkspace(op, stack, Arguments(op, *stack).Tensor("query"), 0);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) {
  Register<&Inference<OpKind::kPrompt>>(m, kPromptOperators);
  Register<&Inference<OpKind::kIncre>>(m, kIncreOperators);
  Register<&Inference<OpKind::kFusedInfer>>(m, kFusedInferOperators);
  Register<&Inference<OpKind::kFusedInfer>>(m, kFusedInferOut);
  Register<&MaxWorkspace>(m, kFusedInferMaxWorkspace);
  Register<&Atb>(m, kAtbOperators);
  Register<&AtbWorkspace>(m, kAtbWorkspace);
}

}  // namespace npufa::cpu
