// npu_advance_step_flashattn on NPU tensors.
#include <torch/library.h>

#include <vector>

#include "attention_calls.h"
#include "npu/aclnn_call.h"

namespace npufa::npu {

namespace {

void AdvanceStep(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input_tokens", {});
  const AdvanceStepCall<std::int64_t> call = ReadAdvanceStep<std::int64_t>(a);
  CheckAdvanceStep(call);
  std::vector<at::Tensor> given, dense;
  for (const char* name : {"input_tokens", "input_positions", "seq_lens", "slot_mapping"}) {
    given.push_back(a.Tensor(name));
    dense.push_back(given.back().contiguous());
  }
  CallAclnn(a.Op(), "aclnnNpufaAdvanceStepFlashattn", given[0].device(), dense[0], a.Tensor("sampled_token_ids"),
            dense[1], dense[2], dense[3], a.Tensor("block_tables"), a.OptionalTensor("spec_token"),
            a.OptionalTensor("accepted_num"), call.num_seqs, call.num_queries, call.block_size);
  // The kernel writes without strides.
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (!given[i].is_same(dense[i])) given[i].copy_(dense[i]);
  }
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  m.impl("npu_advance_step_flashattn", torch::CppFunction::makeFromBoxedFunction<&AdvanceStep>());
}

}  // namespace npufa::npu
