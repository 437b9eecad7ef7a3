// npu_prompt_flash_attention, npu_incre_flash_attention and npu_fused_infer_attention_score on NPU tensors.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "attention_calls.h"
#include "describe.h"
#include "npu/aclnn_call.h"

namespace npufa::npu {

namespace {

using torch::jit::Stack;
using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

struct Results {
  at::Tensor out, lse;
};

// Parameters in the order of the operator's definition in op_host: inputs, attributes, outputs.
void Launch(const Arguments& a, const Call& call, const Results& results) {
  const auto tensor = [&](const char* name) { return a.OptionalTensor(name); };
  const auto run = [&](const char* name, const auto&... values) {
    CallAclnn(a.Op(), name, results.out.device(), tensor("query"), tensor("key"), tensor("value"), tensor("pse_shift"),
              tensor("atten_mask"), values...);
  };
  const auto scales = std::tuple{tensor(call.names.dequant_scale1), tensor("quant_scale1"),
                                 tensor(call.names.dequant_scale2), tensor("quant_scale2"), tensor("quant_offset2")};
  const double scale = a.Number(a.Has("scale") ? "scale" : "scale_value");
  std::apply(
      [&](const auto&... scales) {
        switch (call.kind) {
          case OpKind::kPrompt:
            return run("aclnnNpufaPromptFlashAttention", call.q_lens, call.kv_lens, scales..., call.heads, scale,
                       call.pre_tokens, call.next_tokens, call.input_layout, call.kv_heads, call.sparse_mode,
                       call.inner_precise, results.out);
          case OpKind::kIncre:
            return run("aclnnNpufaIncreFlashAttention", call.kv_lens, scales..., tensor("antiquant_scale"),
                       tensor("antiquant_offset"), tensor("block_table"), tensor("kv_padding_size"), call.heads, scale,
                       call.input_layout, call.kv_heads, call.block_size, call.inner_precise, results.out);
          default:
            return run("aclnnNpufaFusedInferAttentionScore", call.q_lens, call.kv_lens, scales...,
                       tensor("antiquant_scale"), tensor("antiquant_offset"), tensor("block_table"),
                       tensor("query_padding_size"), tensor("kv_padding_size"), tensor("key_antiquant_scale"),
                       tensor("key_antiquant_offset"), tensor("value_antiquant_scale"),
                       tensor("value_antiquant_offset"), tensor("key_shared_prefix"), tensor("value_shared_prefix"),
                       call.actual_shared_prefix_len, tensor("query_rope"), tensor("key_rope"), call.heads, scale,
                       call.pre_tokens, call.next_tokens, call.input_layout, call.kv_heads, call.sparse_mode,
                       call.inner_precise, call.block_size, call.antiquant_mode, call.softmax_lse,
                       call.key_antiquant_mode, call.value_antiquant_mode, results.out, results.lse);
        }
      },
      scales);
}

// Entry points refuse types that the kernels do not know; this says why.
void RequireConvertibleCache(const Call& call) {
  if (!IsFloat8(call.key.dtype)) return;
  Fail(call.op, "key", "has a dtype that the NPU cannot convert", NameOf(call.key.dtype),
       "an int8 or int4 (int32) cache, or tensors on the CPU");
}

template <OpKind kind>
void Inference(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {});
  const Call call = InferenceCall<std::int64_t>(a, kind);
  const Spec spec = Describe(call);
  RequireConvertibleCache(call);
  const at::TensorOptions options = a.Tensor("query").options();
  Results results{at::empty(spec.OutputSizes(), options.dtype(ToTorch(spec.out_dtype))), {}};
  if (kind == OpKind::kFusedInfer) {
    const std::vector<std::int64_t> none = {0};
    results.lse = at::empty(call.softmax_lse ? spec.LseSizes() : none, options.dtype(at::kFloat));
  }
  if (results.out.numel() > 0) Launch(a, call, results);
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(std::move(results.out));
  if (kind == OpKind::kFusedInfer) stack->emplace_back(std::move(results.lse));
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  using torch::CppFunction;
  m.impl("npu_prompt_flash_attention", CppFunction::makeFromBoxedFunction<&Inference<OpKind::kPrompt>>());
  m.impl("npu_incre_flash_attention", CppFunction::makeFromBoxedFunction<&Inference<OpKind::kIncre>>());
  m.impl("npu_fused_infer_attention_score", CppFunction::makeFromBoxedFunction<&Inference<OpKind::kFusedInfer>>());
}

}  // namespace npufa::npu
