// npu_prompt_flash_attention, npu_incre_flash_attention and npu_fused_infer_attention_score on CPU tensors.
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <limits>

#include "describe.h"
#include "problem_builder.h"

namespace npufa::cpu {

namespace {

using torch::jit::Stack;

// Scales of an int8 output as float32, per tensor or per output channel.
OutputQuantisation ReadOutputQuantisation(const Arguments& a, const Spec& spec, BuiltProblem* built) {
  OutputQuantisation q;
  const at::Tensor scale = a.OptionalTensor("quant_scale2");
  if (!scale.defined()) return q;
  const auto read = [&](const at::Tensor& t) {
    built->owned.push_back(t.to(at::kFloat).contiguous());
    return built->owned.back().const_data_ptr<float>();
  };
  q.scale = read(scale);
  const at::Tensor offset = a.OptionalTensor("quant_offset2");
  if (offset.defined()) q.offset = read(offset);
  if (scale.numel() > 1) {
    q.head = spec.value_dim;
    q.channel = 1;
  }
  return q;
}

at::Tensor NewLse(const at::Tensor& query, const Spec& spec, bool partial_rows) {
  const auto options = query.options().dtype(at::kFloat);
  return partial_rows ? at::full(spec.LseSizes(), std::numeric_limits<float>::infinity(), options)
                      : at::empty(spec.LseSizes(), options);
}

void AddLse(const at::Tensor& lse, const Spec& spec, ForwardOutputs* outputs) {
  outputs->softmax_lse = lse.data_ptr<float>();
  outputs->lse_batch = spec.IsPackedBatch() ? 0 : lse.stride(0);
  outputs->lse_head = lse.stride(1);
  outputs->lse_token = lse.stride(spec.IsPackedBatch() ? 0 : 2);
}

template <OpKind kind>
void Inference(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {});
  const Call call = InferenceCall<std::int64_t>(a, kind);
  const Spec spec = Describe(call);
  const double scale = a.Number(kind == OpKind::kFusedInfer ? "scale" : "scale_value");
  BuiltProblem built = BuildInference(a, call, spec, scale);

  const at::Tensor query = a.Tensor("query");
  const auto options = query.options().dtype(ToTorch(spec.out_dtype));
  at::Tensor out = built.partial_rows ? at::zeros(spec.OutputSizes(), options) : at::empty(spec.OutputSizes(), options);
  ForwardOutputs outputs;
  outputs.out = View(out, spec.out_layout, spec.heads);
  outputs.quantisation = ReadOutputQuantisation(a, spec, &built);
  at::Tensor lse;
  if (call.softmax_lse) {
    lse = NewLse(query, spec, built.partial_rows);
    AddLse(lse, spec, &outputs);
  } else if (kind == OpKind::kFusedInfer) {
    lse = at::empty({0}, query.options().dtype(at::kFloat));
  }
  Forward(built.problem, outputs, TorchExecutor());

  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(std::move(out));
  if (kind == OpKind::kFusedInfer) stack->emplace_back(std::move(lse));
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) {
  using torch::CppFunction;
  m.impl("npu_prompt_flash_attention", CppFunction::makeFromBoxedFunction<&Inference<OpKind::kPrompt>>());
  m.impl("npu_incre_flash_attention", CppFunction::makeFromBoxedFunction<&Inference<OpKind::kIncre>>());
  m.impl("npu_fused_infer_attention_score", CppFunction::makeFromBoxedFunction<&Inference<OpKind::kFusedInfer>>());
}

}  // namespace npufa::cpu
