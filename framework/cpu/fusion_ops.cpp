// npu_fusion_attention and its gradient (v1, v2, v3) on CPU tensors.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "describe.h"
#include "fusion_results.h"
#include "problem_builder.h"

namespace npufa::cpu {

namespace {

using torch::jit::Stack;

std::int64_t DrawSeed() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  std::lock_guard<std::mutex> lock(generator.mutex());
  // Not 0, which means "draw one"; positive, so that it survives any integer type.
  return static_cast<std::int64_t>(at::check_generator<at::CPUGeneratorImpl>(generator)->random64() >> 1) | 1;
}

void AddDropout(const Arguments& a, const Call& call, Seed seed, BuiltProblem* built) {
  Dropout& dropout = built->problem.dropout;
  dropout.active = call.keep_prob < 1.0 || call.dropout_mask;
  dropout.seed = static_cast<std::uint64_t>(seed.seed);
  dropout.offset = static_cast<std::uint64_t>(seed.offset);
  if (!call.dropout_mask) return;
  built->owned.push_back(a.Tensor("dropout_mask").contiguous());
  dropout.bits = built->owned.back().const_data_ptr<std::uint8_t>();
}

void FusionForward(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {});
  const Call call = FusionCall<std::int64_t>(a);
  const Spec spec = Describe(call);
  WarnAboutPlainLengths(call, spec);
  BuiltProblem built = BuildFusion(a, call, spec, a.Number("scale"));
  const Seed seed = ForwardSeed(a, call, DrawSeed);
  AddDropout(a, call, seed, &built);

  const at::Tensor query = a.Tensor("query");
  at::Tensor out = NewTensor(query, spec.OutputSizes(), query.scalar_type(), built.partial_rows);
  at::Tensor max = NewTensor(query, spec.StatisticsSizes(), at::kFloat, built.partial_rows);
  at::Tensor sum = NewTensor(query, spec.StatisticsSizes(), at::kFloat, built.partial_rows);
  ForwardOutputs outputs;
  outputs.out = View(out, spec.out_layout, spec.heads);
  outputs.softmax_max = max.data_ptr<float>();
  outputs.softmax_sum = sum.data_ptr<float>();
  Forward(built.problem, outputs, TorchExecutor());

  ReturnForward(op, stack, {out, max, sum}, seed, CountScores(spec));
}

// Gradient buffer of the bias and how the loops address it.
at::Tensor AddBiasGradient(const at::Tensor& pse, const Spec& spec, const Problem& p, BackwardOutputs* outputs) {
  if (!pse.defined()) return {};
  at::Tensor grad = at::zeros(pse.sizes(), pse.options().dtype(at::kFloat));
  outputs->grad_bias = grad.data_ptr<float>();
  const auto stride = [&](std::int64_t axis) { return grad.size(axis) == 1 ? 0 : grad.stride(axis); };
  const bool slopes = spec.pse == PseForm::kSlopes;
  outputs->bias_head = grad.stride(slopes ? -1 : 1);
  outputs->bias_batch = slopes && grad.dim() == 1 ? 0 : stride(0);
  outputs->bias_row = slopes ? 0 : stride(2);
  outputs->bias_shared_by_batch = outputs->bias_batch == 0 && p.sequences.size() > 1;
  return grad;
}

void FusionBackward(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {});
  const Call call = FusionCall<std::int64_t>(a);
  const Spec spec = Describe(call);
  CheckGradInputs(a, spec);
  BuiltProblem built = BuildFusion(a, call, spec, a.Number("scale_value"));
  AddDropout(a, call, BackwardSeed(a), &built);
  const Problem& p = built.problem;

  const auto rows = [&](const char* name) {
    built.owned.push_back(a.Tensor(name).contiguous());
    return View(built.owned.back(), spec.out_layout, spec.heads);
  };
  const at::Tensor max = a.Tensor("softmax_max").contiguous(), sum = a.Tensor("softmax_sum").contiguous();
  BackwardInputs inputs{rows("attention_in"), rows("dy"), max.const_data_ptr<float>(), sum.const_data_ptr<float>()};

  const at::Tensor query = a.Tensor("query");
  BackwardOutputs outputs;
  const auto gradient = [&](const char* name, std::int64_t heads, Strided* view) {
    const at::Tensor t = a.OptionalTensor(name);
    if (!t.defined()) return t;
    at::Tensor grad = at::zeros(t.sizes(), t.options());
    *view = View(grad, spec.q_layout, heads);
    return grad;
  };
  Gradients gradients;
  gradients.query = gradient("query", spec.heads, &outputs.grad_query);
  gradients.key = gradient("key", spec.kv_heads, &outputs.grad_key);
  gradients.value = gradient("value", spec.kv_heads, &outputs.grad_value);
  gradients.query_rope = gradient("query_rope", spec.heads, &outputs.grad_query_rope);
  gradients.key_rope = gradient("key_rope", spec.kv_heads, &outputs.grad_key_rope);
  const at::Tensor pse = a.OptionalTensor("pse");
  at::Tensor dpse = AddBiasGradient(pse, spec, p, &outputs);
  at::Tensor dsink;
  if (p.sink) {
    dsink = at::zeros({static_cast<std::int64_t>(p.sequences.size()), spec.heads}, query.options().dtype(at::kFloat));
    outputs.grad_sink = dsink.data_ptr<float>();
  }
  Backward(p, inputs, outputs, TorchExecutor());

  if (dpse.defined()) gradients.pse = dpse.to(pse.scalar_type());
  if (dsink.defined()) gradients.sink = dsink.sum(0);
  ReturnBackward(op, stack, std::move(gradients));
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) {
  using torch::CppFunction;
  for (const char* name : {"npu_fusion_attention", "npu_fusion_attention_v2", "npu_fusion_attention_v3"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&FusionForward>());
  }
  for (const char* name : {"npu_fusion_attention_grad", "npu_fusion_attention_grad_v2", "npu_fusion_attention_grad_v3",
                           "_npu_fusion_attention_grad_masked"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&FusionBackward>());
  }
}

}  // namespace npufa::cpu
