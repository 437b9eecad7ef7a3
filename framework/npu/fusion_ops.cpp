// npu_fusion_attention and its gradient (v1, v2, v3) on NPU tensors.
#include <ATen/Context.h>
#include <ATen/ops/empty.h>

#include "describe.h"
#include "npu/aclnn_call.h"
#include "npu/conversions.h"
#include "npu/dropout.h"
#include "npu/lengths.h"
#include "ops/fusion_results.h"
#include "registration.h"

namespace npufa::npu {

namespace {

using torch::jit::Stack;
using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

// Mask of bits: the caller's, generated, or undefined without dropout. Only its size matters where nothing runs.
at::Tensor DropoutMask(const Arguments& a, const Call& call, const Spec& spec, const Seed& seed, const Task& task) {
  if (call.dropout_mask) return a.Tensor("dropout_mask");
  if (call.keep_prob >= 1.0) return {};
  if (task.only_bytes != nullptr) {
    return at::empty({(CountScores(spec) + 7) / 8}, at::device(task.device).dtype(at::kByte));
  }
  return GenerateDropoutMask(a.Op(), CountScores(spec), call.keep_prob, seed, task.device);
}

struct ForwardRun {
  std::vector<at::Tensor> results;
  Seed seed;
  std::int64_t scores;
};

// A call launched with `task`, or without results to compute not launched at all.
ForwardRun RunForward(const Arguments& a, Task task) {
  a.RequireOneDevice("query", {"actual_seq_qlen", "actual_seq_kvlen"});
  const Call call = FusionCall<std::int64_t>(a, LengthValuesOf(a, "pse"));
  const Spec spec = Describe(call);
  WarnAboutPlainLengths(call, spec);
  const std::vector<at::Tensor> results = MakeResults(a, ForwardResults(a, spec));
  const bool runs = task.only_bytes == nullptr;
  const Seed seed = runs ? ForwardSeed(a, call, [&] { return DrawSeed(a, CountScores(spec), task.device); }) : Seed{};
  if (results[0].numel() > 0) {
    const auto tensor = [&](const char* name) { return a.OptionalTensor(name); };
    CallAclnn(a.Op(), "aclnnNpufaFlashAttention", task, tensor("query"), tensor("key"), tensor("value"), tensor("pse"),
              DropoutMask(a, call, spec, seed, task), Bytes(tensor("atten_mask")), call.prefix,
              LengthsForCann(call.q_lens, spec), LengthsForCann(call.kv_lens, spec), call.q_start_idx,
              call.kv_start_idx, tensor("query_rope"), tensor("key_rope"), tensor("sink"),
              LengthsOnDevice(a, call.names.q_lens, call.q_lens_tensor, &task),
              LengthsOnDevice(a, call.names.kv_lens, call.kv_lens_tensor, &task), call.scale, call.keep_prob,
              call.pre_tokens, call.next_tokens, call.heads, call.input_layout, call.inner_precise, call.sparse_mode,
              call.pse_type, call.softmax_layout, call.softcap, call.batch_invariant, results[1], results[2],
              results[0]);
  }
  return {results, seed, CountScores(spec)};
}

void FusionForward(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  ForwardRun run = RunForward(a, {a.Tensor("query").device(), a.OptionalTensor("workspace")});
  ReturnForward(op, stack, std::move(run.results), run.seed, run.scores);
}

std::vector<at::Tensor> RunBackward(const Arguments& a, Task task) {
  a.RequireOneDevice("query", {"actual_seq_qlen", "actual_seq_kvlen", "seed", "offset"});
  const Call call = FusionCall<std::int64_t>(a, LengthValuesOf(a, "pse"));
  const Spec spec = Describe(call);
  CheckGradInputs(a, spec);
  const auto tensor = [&](const char* name) { return a.OptionalTensor(name); };
  const at::Tensor query = a.Tensor("query");
  const std::vector<ResultShape<std::int64_t>> shapes = GradientResults<std::int64_t>(a);
  const std::vector<at::Tensor> results = MakeResults(a, shapes);
  if (query.numel() == 0 || tensor("key").numel() == 0) {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (shapes[i].computed) results[i].zero_();
    }
  } else {
    // The kernel has outputs for absent inputs, too.
    const auto result_of = [&](const char* input, std::size_t index, at::ScalarType dtype) {
      return tensor(input).defined() ? results[index] : at::empty({0}, query.options().dtype(dtype));
    };
    const at::ScalarType dtype = query.scalar_type();
    const bool any_lengths = task.only_bytes != nullptr;
    const Seed seed = call.keep_prob < 1.0 && task.only_bytes == nullptr ? BackwardSeed(a) : Seed{};
    CallAclnn(a.Op(), "aclnnNpufaFlashAttentionGrad", task, query, tensor("key"), tensor("value"), tensor("dy"),
              tensor("pse"), DropoutMask(a, call, spec, seed, task), Bytes(tensor("atten_mask")), tensor("softmax_max"),
              tensor("softmax_sum"), tensor("attention_in"), call.prefix, LengthsForCann(call.q_lens, spec),
              LengthsForCann(call.kv_lens, spec), tensor("query_rope"), tensor("key_rope"), tensor("sink"),
              call.q_start_idx, call.kv_start_idx, LengthsOnDevice(a, call.names.q_lens, call.q_lens_tensor, &task),
              LengthsOnDevice(a, call.names.kv_lens, call.kv_lens_tensor, &task), call.scale, call.keep_prob,
              call.pre_tokens, call.next_tokens, call.heads, call.input_layout, call.inner_precise, call.sparse_mode,
              call.pse_type, call.softmax_layout, call.softcap, call.batch_invariant, any_lengths, results[0],
              results[1], results[2], result_of("pse", 3, dtype), result_of("query_rope", 4, dtype),
              result_of("key_rope", 5, dtype), result_of("sink", results.size() - 1, at::kFloat));
  }
  return results;
}

void FusionBackward(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  ReturnResults(op, stack, RunBackward(a, {a.Tensor("query").device(), a.OptionalTensor("workspace")}));
}

void MaxWorkspace(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  const at::Tensor query = a.Tensor("query");
  std::uint64_t bytes = 0;
  const Task task(query.device(), {}, &bytes);
  if (a.Has("dy")) {
    RunBackward(a, task);
  } else {
    RunForward(a, task);
  }
  ReturnWorkspace(op, stack, query, bytes);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  Register<&FusionForward>(m, kFusionOperators);
  Register<&FusionForward>(m, kFusionOut);
  Register<&FusionBackward>(m, kFusionGradOperators);
  Register<&FusionBackward>(m, kFusionGradOut);
  Register<&MaxWorkspace>(m, kFusionMaxWorkspace);
  Register<&MaxWorkspace>(m, kFusionGradMaxWorkspace);
}

}  // namespace npufa::npu
