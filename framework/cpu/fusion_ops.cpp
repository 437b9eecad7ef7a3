// npu_fusion_attention and its gradient (v1, v2, v3) on CPU tensors.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "describe.h"
#include "ops/fusion_results.h"
#include "problem_builder.h"
#include "registration.h"

namespace npufa::cpu {

namespace {

using torch::jit::Stack;

Seed DrawSeed() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  std::lock_guard<std::mutex> lock(generator.mutex());
  // Not 0, which means "draw one"; positive, so that it survives any integer type.
  return {static_cast<std::int64_t>(at::check_generator<at::CPUGeneratorImpl>(generator)->random64() >> 1) | 1, 0};
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
  BuiltProblem built = BuildFusion(a, call, spec);
  std::vector<at::Tensor> results = MakeResults(a, ForwardResults(a, spec));
  const Seed seed = ForwardSeed(a, call, DrawSeed);
  AddDropout(a, call, seed, &built);

  if (built.partial_rows) {
    for (std::size_t i = 0; i < 3; ++i) results[i].zero_();
  }
  ForwardOutputs outputs;
  outputs.out = View(results[0], spec.out_layout, spec.heads);
  outputs.softmax_max = results[1].data_ptr<float>();
  outputs.softmax_sum = results[2].data_ptr<float>();
  Forward(built.problem, outputs, TorchExecutor());

  ReturnForward(op, stack, std::move(results), seed, CountScores(spec));
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
  BuiltProblem built = BuildFusion(a, call, spec);
  AddDropout(a, call, BackwardSeed(a), &built);
  const Problem& p = built.problem;

  const auto rows = [&](const char* name) {
    built.owned.push_back(a.Tensor(name).contiguous());
    return View(built.owned.back(), spec.out_layout, spec.heads);
  };
  const at::Tensor max = a.Tensor("softmax_max").contiguous(), sum = a.Tensor("softmax_sum").contiguous();
  BackwardInputs inputs{rows("attention_in"), rows("dy"), max.const_data_ptr<float>(), sum.const_data_ptr<float>()};

  std::vector<at::Tensor> results = MakeResults(a, GradientResults<std::int64_t>(a));
  BackwardOutputs outputs;
  const auto add = [&](std::size_t index, std::int64_t heads, Strided* view) {
    *view = View(results[index].zero_(), spec.q_layout, heads);
  };
  add(0, spec.heads, &outputs.grad_query);
  add(1, spec.kv_heads, &outputs.grad_key);
  add(2, spec.kv_heads, &outputs.grad_value);
  if (call.query_rope) {
    add(4, spec.heads, &outputs.grad_query_rope);
    add(5, spec.kv_heads, &outputs.grad_key_rope);
  }
  const at::Tensor dpse = AddBiasGradient(a.OptionalTensor("pse"), spec, p, &outputs);
  at::Tensor dsink;
  if (p.sink) {
    dsink = at::zeros({static_cast<std::int64_t>(p.sequences.size()), spec.heads}, max.options());
    outputs.grad_sink = dsink.data_ptr<float>();
  }
  Backward(p, inputs, outputs, TorchExecutor());

  if (dpse.defined()) results[3].copy_(dpse);
  if (dsink.defined()) results.back().copy_(dsink.sum(0));
  ReturnResults(op, stack, std::move(results));
}

// The same checks as the call's; this backend needs none.
void MaxWorkspace(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {});
  const Spec spec = Describe(FusionCall<std::int64_t>(a));
  if (a.Has("dy")) CheckGradInputs(a, spec);
  ReturnWorkspace(op, stack, a.Tensor("query"), 0);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) {
  Register<&FusionForward>(m, kFusionOperators);
  Register<&FusionForward>(m, kFusionOut);
  Register<&FusionBackward>(m, kFusionGradOperators);
  Register<&FusionBackward>(m, kFusionGradOut);
  Register<&MaxWorkspace>(m, kFusionMaxWorkspace);
  Register<&MaxWorkspace>(m, kFusionGradMaxWorkspace);
}

}  // namespace npufa::cpu
