// npu_prompt_flash_attention, npu_incre_flash_attention and npu_fused_infer_attention_score on NPU tensors.
#include <ATen/ops/empty.h>

#include "attention_calls.h"
#include "cpu/problem_builder.h"
#include "describe.h"
#include "npu/aclnn_call.h"
#include "npu/conversions.h"
#include "npu/lengths.h"
#include "ops/atb_calls.h"
#include "ops/inference_results.h"
#include "registration.h"

namespace npufa::npu {

namespace {

using torch::jit::Stack;
using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

// Parameters in the order of the operator's definition in op_host: inputs, attributes, outputs.
void Launch(const Arguments& a, const Call& call, const std::vector<at::Tensor>& results, Task task) {
  const auto tensor = [&](const char* name) { return a.OptionalTensor(name); };
  const auto numbers = [&](const char* name) { return task.Convert(tensor(name), at::kFloat); };
  const auto combined = [&](const char* name) { return task.Convert(WithChannelShape(tensor(name)), at::kFloat); };
  const auto run = [&](const char* name, const auto&... values) {
    CallAclnn(a.Op(), name, task, tensor("query"), tensor("key"), tensor("value"), tensor("pse_shift"),
              Bytes(tensor("atten_mask")), values...);
  };
  const ArgumentNames& names = call.names;
  const auto scales =
      std::tuple{FloatOfBits(tensor(names.dequant_scale1)), tensor(names.quant_scale1),
                 FloatOfBits(tensor(names.dequant_scale2)), numbers(names.quant_scale2), numbers(names.quant_offset2)};
  const at::Tensor q_lens = LengthsOnDevice(a, call.names.q_lens, call.q_lens_tensor, &task);
  const at::Tensor kv_lens = LengthsOnDevice(a, call.names.kv_lens, call.kv_lens_tensor, &task);
  std::apply(
      [&](const auto&... scales) {
        switch (call.kind) {
          case OpKind::kPrompt:
            return run("aclnnNpufaPromptFlashAttention", call.q_lens, call.kv_lens, scales..., q_lens, kv_lens,
                       call.heads, call.scale, call.pre_tokens, call.next_tokens, call.input_layout, call.kv_heads,
                       call.sparse_mode, call.inner_precise, call.batch_invariant, results[0]);
          case OpKind::kIncre:
            return run("aclnnNpufaIncreFlashAttention", call.kv_lens, scales..., combined("antiquant_scale"),
                       combined("antiquant_offset"), tensor("block_table"), tensor("kv_padding_size"), kv_lens,
                       call.heads, call.scale, call.input_layout, call.kv_heads, call.block_size, call.inner_precise,
                       call.batch_invariant, results[0]);
          default:
            return run("aclnnNpufaFusedInferAttentionScore", call.q_lens, call.kv_lens, scales...,
                       combined("antiquant_scale"), combined("antiquant_offset"), tensor("block_table"),
                       tensor("query_padding_size"), tensor("kv_padding_size"), numbers(names.key_antiquant_scale),
                       numbers(names.key_antiquant_offset), numbers(names.value_antiquant_scale),
                       numbers(names.value_antiquant_offset), tensor("key_shared_prefix"),
                       tensor("value_shared_prefix"), call.actual_shared_prefix_len, tensor("query_rope"),
                       tensor("key_rope"), numbers(names.sink), q_lens, kv_lens, tensor("dequant_scale_query"),
                       call.heads, call.scale, call.pre_tokens, call.next_tokens, call.input_layout, call.kv_heads,
                       call.sparse_mode, call.inner_precise, call.block_size, call.antiquant_mode, call.softmax_lse,
                       call.key_antiquant_mode, call.value_antiquant_mode, call.query_quant_mode, call.softcap,
                       call.batch_invariant, call.pse_layout, call.value_head_size, results[0],
                       call.softmax_lse ? results[1] : at::empty({0}, at::device(task.device).dtype(at::kFloat)));
        }
      },
      scales);
}

// Block ids are values of the device, at which the host looks where a kernel has failed: the likely cause comes first.
template <OpKind kind>
void LaunchPaged(const Arguments& a, const Call& call, const std::vector<at::Tensor>& results, const Task& task) {
  try {
    Launch(a, call, results, task);
  } catch (const c10::Error& error) {
    try {
      const Call with_lengths = InferenceCall<std::int64_t>(a, kind);
      cpu::CheckBlockIds(a, with_lengths, Describe(with_lengths));
    } catch (const ArgumentError& cause) {
      TORCH_CHECK(false, cause.what(), "\n", error.what_without_backtrace());
    } catch (const c10::Error&) {  // nothing can be read from the device any more
    }
    throw;
  }
}

// Results of a call that was launched with `task`, or without results to compute not launched at all.
template <OpKind kind>
std::vector<at::Tensor> RunInference(const Arguments& a, const Task& task) {
  const Call call = InferenceCall<std::int64_t>(a, kind, LengthValuesOf(a, "pse_shift"));
  a.RequireOneDevice("query", {call.names.q_lens, call.names.kv_lens});
  const Spec spec = Describe(call);
  std::vector<at::Tensor> results = MakeResults(a, InferenceResults(call, spec));
  if (results[0].numel() == 0) return results;
  if (call.block_table) {
    LaunchPaged<kind>(a, call, results, task);
  } else {
    Launch(a, call, results, task);
  }
  return results;
}

template <OpKind kind>
void Inference(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  const Task task{a.Tensor("query").device(), a.OptionalTensor("workspace")};
  ReturnResults(op, stack, RunInference<kind>(a, task));
}

void MaxWorkspace(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  const at::Tensor query = a.Tensor("query");
  std::uint64_t bytes = 0;
  RunInference<OpKind::kFusedInfer>(a, {query.device(), {}, &bytes});
  ReturnWorkspace(op, stack, query, bytes);
}

void Atb(const c10::OperatorHandle& op, Stack* stack) {
  AtbCall::Run(op, *stack, [](const Arguments& a) {
    RunInference<OpKind::kFusedInfer>(a, {a.Tensor("query").device(), a.OptionalTensor("workspace")});
  });
  AtbCall::Return(op, stack);
}

void AtbWorkspace(const c10::OperatorHandle& op, Stack* stack) {
  const at::Tensor query = Arguments(op, *stack).Tensor("query");
  std::uint64_t bytes = 0;
  AtbCall::Run(op, *stack,
               [&](const Arguments& a) { RunInference<OpKind::kFusedInfer>(a, {query.device(), {}, &bytes}); });
  ReturnWorkspace(op, stack, query, bytes);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  Register<&Inference<OpKind::kPrompt>>(m, kPromptOperators);
  Register<&Inference<OpKind::kIncre>>(m, kIncreOperators);
  Register<&Inference<OpKind::kFusedInfer>>(m, kFusedInferOperators);
  Register<&Inference<OpKind::kFusedInfer>>(m, kFusedInferOut);
  Register<&MaxWorkspace>(m, kFusedInferMaxWorkspace);
  Register<&Atb>(m, kAtbOperators);
  Register<&AtbWorkspace>(m, kAtbWorkspace);
}

}  // namespace npufa::npu
