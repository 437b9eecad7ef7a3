// Operators on NPU tensors: the checks of every backend, outputs, and the aclnn entry point that does the work.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "attention_calls.h"
#include "describe.h"
#include "npu/aclnn_call.h"

namespace npufa::npu {

namespace {

using torch::jit::Stack;

// Parameters in the order of the operator's definition (op_host/prompt_flash_attention): inputs, attributes, outputs.
constexpr auto kPromptFlashAttention =
    Entry("aclnnNpufaPromptFlashAttention", Input{"query"}, Input{"key"}, Input{"value"}, Input{"pse_shift"},
          Input{"atten_mask"}, Lengths{"actual_seq_lengths"}, Lengths{"actual_seq_lengths_kv"}, Input{"deq_scale1"},
          Input{"quant_scale1"}, Input{"deq_scale2"}, Input{"quant_scale2"}, Input{"quant_offset2"},
          Integer{"num_heads"}, Number{"scale_value"}, Integer{"pre_tokens"}, Integer{"next_tokens"},
          Text{"input_layout"}, Integer{"num_key_value_heads"}, Integer{"sparse_mode"}, Integer{"inner_precise", 1},
          Output{0});

void PromptFlashAttention(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {});
  const AttentionSpec<std::int64_t> spec = Describe(InferenceCall<std::int64_t>(a, OpKind::kPrompt));
  // aclnn would refuse the type of the output, which is not what the caller gave.
  if (a.OptionalTensor("quant_scale2").defined()) {
    Fail(a.Op(), "quant_scale2", "is not supported by the NPU kernel", "a tensor", "None");
  }
  at::Tensor out = at::empty(spec.OutputSizes(), a.Tensor("query").options().dtype(ToTorch(spec.out_dtype)));
  if (out.numel() > 0) kPromptFlashAttention.Call(a, {out});
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(std::move(out));
}

void NoKernel(const c10::OperatorHandle& op, Stack*) {
  TORCH_CHECK(false, op.schema().name(), " has no kernel on the NPU yet; move its tensors to the CPU");
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  using torch::CppFunction;
  m.impl("npu_prompt_flash_attention", CppFunction::makeFromBoxedFunction<&PromptFlashAttention>());
  for (const char* name :
       {"npu_fusion_attention", "npu_fusion_attention_v2", "npu_fusion_attention_v3", "npu_fusion_attention_grad",
        "npu_fusion_attention_grad_v2", "npu_fusion_attention_grad_v3", "_npu_fusion_attention_grad_masked",
        "npu_incre_flash_attention", "npu_fused_infer_attention_score", "npu_advance_step_flashattn"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&NoKernel>());
  }
}

}  // namespace npufa::npu
