// npu_advance_step_flashattn on NPU tensors.
#include <torch/library.h>

#include <vector>

#include "advance_step.h"
#include "arguments.h"
#include "npu/aclnn_call.h"
#include "ops/in_place.h"

namespace npufa::npu {

namespace {

void AdvanceStep(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input_tokens", {});
  const AdvanceStepCall<std::int64_t> call = ReadAdvanceStep<std::int64_t>(a);
  CheckAdvanceStep(call);
  InPlace written;
  std::vector<at::Tensor> dense;
  for (const char* name : {"input_tokens", "input_positions", "seq_lens", "slot_mapping"}) {
    dense.push_back(written.Dense(a.Tensor(name)));
  }
  CallAclnn(a.Op(), "aclnnNpufaAdvanceStepFlashattn", dense[0].device(), dense[0], a.Tensor("sampled_token_ids"),
            dense[1], dense[2], dense[3], a.Tensor("block_tables"), a.OptionalTensor("spec_token"),
            a.OptionalTensor("accepted_num"), call.num_seqs, call.num_queries, call.block_size);
  written.Finish();
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  m.impl("npu_advance_step_flashattn", torch::CppFunction::makeFromBoxedFunction<&AdvanceStep>());
}

}  // namespace npufa::npu
