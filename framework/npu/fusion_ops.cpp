// npu_fusion_attention and its gradient (v1, v2, v3) on NPU tensors.
#include <ATen/Context.h>
#include <torch/library.h>

#include "describe.h"
#include "fusion_results.h"
#include "npu/aclnn_call.h"
#include "npu/dropout.h"

namespace npufa::npu {

namespace {

using torch::jit::Stack;
using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

// A seed from the state of the device's generator, which moves on by one step of its own.
std::int64_t DrawSeed(const at::Device& device) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  const std::uint64_t offset = generator.get_offset();
  generator.set_offset(offset + 4);  // generators count in words of Philox, four at a time
  // SplitMix64 (Steele et al. 2014): neighbouring states give unrelated seeds.
  std::uint64_t z = generator.current_seed() + (offset / 4 + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<std::int64_t>((z ^ (z >> 31)) >> 1) | 1;
}

// Mask of bits: the caller's, generated, or undefined without dropout.
at::Tensor DropoutMask(const Arguments& a, const Call& call, const Spec& spec, Seed seed) {
  if (call.dropout_mask) return a.Tensor("dropout_mask");
  if (call.keep_prob >= 1.0) return {};
  return GenerateDropoutMask(a.Op(), CountScores(spec), call.keep_prob, seed.seed, seed.offset,
                             a.Tensor("query").device());
}

// Kernels know lengths of a packed batch as running sums only. Trailing zeros stay: those sequences take no part.
OptionalList<std::int64_t> KernelLengths(const Spec& spec, const OptionalList<std::int64_t>& given,
                                         const std::vector<std::int64_t>& lengths) {
  if (!spec.plain_lengths) return given;
  std::vector<std::int64_t> sums;
  std::int64_t sum = 0;
  for (const std::int64_t length : lengths) sums.push_back(sum += length);
  for (std::size_t i = lengths.size(); i > 0 && lengths[i - 1] == 0; --i) sums[i - 1] = 0;
  return sums;
}

void FusionForward(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {"actual_seq_qlen", "actual_seq_kvlen"});
  const Call call = FusionCall<std::int64_t>(a);
  const Spec spec = Describe(call);
  WarnAboutPlainLengths(call, spec);
  const at::Tensor query = a.Tensor("query");
  const Seed seed = ForwardSeed(a, call, [&] { return DrawSeed(query.device()); });
  const ForwardResults results{NewTensor(query, spec.OutputSizes(), query.scalar_type(), false),
                               NewTensor(query, spec.StatisticsSizes(), at::kFloat, false),
                               NewTensor(query, spec.StatisticsSizes(), at::kFloat, false)};
  if (results.out.numel() > 0) {
    const auto tensor = [&](const char* name) { return a.OptionalTensor(name); };
    CallAclnn(a.Op(), "aclnnNpufaFlashAttention", query.device(), query, tensor("key"), tensor("value"), tensor("pse"),
              DropoutMask(a, call, spec, seed), tensor("atten_mask"), call.prefix,
              KernelLengths(spec, call.q_lens, spec.q_lens), KernelLengths(spec, call.kv_lens, spec.kv_lens),
              call.q_start_idx, call.kv_start_idx, tensor("query_rope"), tensor("key_rope"), tensor("sink"),
              a.Number("scale"), call.keep_prob, call.pre_tokens, call.next_tokens, call.heads, call.input_layout,
              call.inner_precise, call.sparse_mode, call.pse_type, call.softmax_layout, results.softmax_max,
              results.softmax_sum, results.out);
  }
  ReturnForward(op, stack, results, seed, CountScores(spec));
}

void FusionBackward(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {"actual_seq_qlen", "actual_seq_kvlen", "seed", "offset"});
  const Call call = FusionCall<std::int64_t>(a);
  const Spec spec = Describe(call);
  CheckGradInputs(a, spec);
  const auto tensor = [&](const char* name) { return a.OptionalTensor(name); };
  const at::Tensor query = a.Tensor("query");
  const bool no_pairs = query.numel() == 0 || tensor("key").numel() == 0;
  const auto gradient = [&](const char* name) {
    const at::Tensor t = tensor(name);
    return t.defined() ? NewTensor(t, t.sizes().vec(), t.scalar_type(), no_pairs) : t;
  };
  const Gradients gradients{gradient("query"),      gradient("key"),      gradient("value"), gradient("pse"),
                            gradient("query_rope"), gradient("key_rope"), gradient("sink")};
  if (!no_pairs) {
    const auto or_empty = [&](const at::Tensor& t, at::ScalarType dtype) {
      return t.defined() ? t : NewTensor(query, {0}, dtype, false);
    };
    const at::ScalarType dtype = query.scalar_type();
    CallAclnn(a.Op(), "aclnnNpufaFlashAttentionGrad", query.device(), query, tensor("key"), tensor("value"),
              tensor("dy"), tensor("pse"), DropoutMask(a, call, spec, BackwardSeed(a)), tensor("atten_mask"),
              tensor("softmax_max"), tensor("softmax_sum"), tensor("attention_in"), call.prefix,
              KernelLengths(spec, call.q_lens, spec.q_lens), KernelLengths(spec, call.kv_lens, spec.kv_lens),
              tensor("query_rope"), tensor("key_rope"), tensor("sink"), call.q_start_idx, call.kv_start_idx,
              a.Number("scale_value"), call.keep_prob, call.pre_tokens, call.next_tokens, call.heads,
              call.input_layout, call.inner_precise, call.sparse_mode, call.pse_type, call.softmax_layout,
              gradients.query, gradients.key, gradients.value, or_empty(gradients.pse, dtype),
              or_empty(gradients.query_rope, dtype), or_empty(gradients.key_rope, dtype),
              or_empty(gradients.sink, at::kFloat));
  }
  ReturnBackward(op, stack, gradients);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  using torch::CppFunction;
  for (const char* name : {"npu_fusion_attention", "npu_fusion_attention_v2", "npu_fusion_attention_v3"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&FusionForward>());
  }
  for (const char* name : {"npu_fusion_attention_grad", "npu_fusion_attention_grad_v2", "npu_fusion_attention_grad_v3",
                           "_npu_fusion_attention_grad_masked"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&FusionBackward>());
  }
}

}  // namespace npufa::npu
