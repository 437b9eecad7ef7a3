// The `_infer_output` helpers: tensors with the shapes and types of an operator's results, for `out`.
#include <ATen/ops/empty.h>

#include "attention_calls.h"
#include "describe.h"
#include "fusion_results.h"
#include "inference_results.h"
#include "registration.h"

namespace npufa {

namespace {

using c10::SymInt;
using torch::jit::Stack;

// Head size of value, which alone of all about the keys shapes the output.
SymInt ValueDim(const AttentionCall<SymInt>& call, const AttentionSpec<SymInt>& spec) {
  if (!call.block_table) return ReadExtents(call, "value", call.value, spec.q_layout, spec.kv_heads).channels;
  const std::int64_t rank = call.value.Dim();
  if (rank < 3 || rank > 5) {
    Fail(call.op, "value", "is not a paged cache", call.value.sizes, "3, 4 or (NZ) 5 dimensions");
  }
  const CacheLayout layout = rank == 3   ? CacheLayout::kBlockTokenH
                             : rank == 4 ? CacheLayout::kBlockHeadToken
                                         : CacheLayout::kNz;
  return PagedChannels(call.value, layout, spec.kv_heads);
}

void FusedInferOutput(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  RequireSupportedV2(a);
  const AttentionCall<SymInt> call = ReadInferenceCall<SymInt>(a, OpKind::kFusedInfer);
  const LayoutPair& layouts = ParseLayout(call.op, call.input_layout, LayoutsOf(call.kind));
  AttentionSpec<SymInt> spec;
  spec.q_layout = layouts.input;
  spec.out_layout = layouts.output;
  DescribeQuery(call, &spec);
  spec.kv_heads = KeyHeads(call, spec);
  spec.int4_cache = call.value.dtype == DType::kInt32;
  spec.value_dim = Unpacked(spec, ValueDim(call, spec));
  RequireValueDim(call, spec.value_dim, spec.head_dim);
  spec.out_dtype = OutputType(call, spec);
  ReturnResults(op, stack, MakeResults(a, InferenceResults(call, spec)));
}

// A packed batch may hold any number of sequences: no result depends on it.
void FusionOutput(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  AttentionCall<SymInt> call;
  call.kind = OpKind::kFusion;
  call.op = a.Op();
  call.names = FusionNames();
  call.query = a.Desc<SymInt>("query");
  call.key = a.Desc<SymInt>("key");
  call.value = a.Desc<SymInt>("value");
  call.heads = a.Integer("head_num");
  call.input_layout = a.Text("input_layout");
  call.q_lens_tensor = call.kv_lens_tensor = TensorDesc<SymInt>{true, DType::kInt64, {SymInt(1)}};
  if (!IsPacked(ParseLayout(call.op, call.input_layout, LayoutsOf(call.kind)).input)) {
    call.q_lens_tensor = call.kv_lens_tensor = {};
  }
  std::vector<at::Tensor> results = MakeResults(a, ForwardResults(a, Describe(call)));
  results.resize(op.schema().returns().size());
  ReturnResults(op, stack, std::move(results));
}

void FusionGradOutput(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  ReturnResults(op, stack, MakeResults(a, GradientResults<SymInt>(a)));
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CompositeExplicitAutograd, m) {
  Register<&FusedInferOutput>(m, kFusedInferOutput);
  Register<&FusionOutput>(m, kFusionOutput);
  Register<&FusionGradOutput>(m, kFusionGradOutput);
}

}  // namespace npufa
