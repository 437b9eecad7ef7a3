// npu_advance_step_flashattn on CPU tensors (SPEC section 9).
#include <ATen/ops/from_blob.h>
#include <torch/library.h>

#include <optional>
#include <vector>

#include "advance_step.h"
#include "arguments.h"

namespace npufa::cpu {

namespace {

using torch::jit::Stack;

// New values of one step, computed and checked before anything is written.
struct Step {
  std::vector<std::int64_t> tokens, positions, lengths, slots;
};

class StepReader {
 public:
  StepReader(const Arguments& a, const AdvanceStepCall<std::int64_t>& call)
      : a_(a), call_(call), tables_(a.Tensor("block_tables").contiguous()) {}

  std::vector<std::int64_t> Read(const char* name) const {
    const at::Tensor t = a_.Tensor(name).contiguous();
    return {t.const_data_ptr<std::int64_t>(), t.const_data_ptr<std::int64_t>() + t.numel()};
  }

  // Slot of `position` in the blocks of `sequence`.
  std::int64_t Slot(std::int64_t sequence, std::int64_t position, const char* source) const {
    const std::int64_t columns = tables_.size(1);
    if (position < 0 || position / call_.block_size >= columns) {
      Fail(call_.op, source, "leads beyond block_tables for sequence " + std::to_string(sequence), position,
           "a position in 0.." + std::to_string(columns * call_.block_size - 1));
    }
    const std::int64_t block = tables_.const_data_ptr<std::int64_t>()[sequence * columns + position / call_.block_size];
    if (block < 0) {
      Fail(call_.op, "block_tables", "has a negative block id for sequence " + std::to_string(sequence), block,
           "the block of position " + std::to_string(position));
    }
    return block * call_.block_size + position % call_.block_size;
  }

 private:
  const Arguments& a_;
  const AdvanceStepCall<std::int64_t>& call_;
  at::Tensor tables_;
};

Step PlainStep(const StepReader& reader, const AdvanceStepCall<std::int64_t>& call) {
  const std::vector<std::int64_t> sampled = reader.Read("sampled_token_ids");
  Step step{std::vector<std::int64_t>(call.num_seqs, 0), std::vector<std::int64_t>(call.num_seqs, 0),
            reader.Read("seq_lens"), std::vector<std::int64_t>(call.num_seqs, -1)};
  for (std::int64_t i = 0; i < call.num_queries; ++i) {
    const std::int64_t position = step.lengths[i];
    step.tokens[i] = sampled[i];
    step.positions[i] = position;
    step.slots[i] = reader.Slot(i, position, "seq_lens");
    step.lengths[i] = position + 1;
  }
  return step;
}

// Last entry of a row before the first -1.
std::optional<std::int64_t> LastValid(const std::int64_t* row, std::int64_t width) {
  std::optional<std::int64_t> last;
  for (std::int64_t i = 0; i < width && row[i] != -1; ++i) last = row[i];
  return last;
}

Step SpeculativeStep(const StepReader& reader, const AdvanceStepCall<std::int64_t>& call) {
  const std::int64_t width = 1 + call.spec_token.Size(1);
  const std::vector<std::int64_t> sampled = reader.Read("sampled_token_ids"), drafts = reader.Read("spec_token"),
                                  accepted = reader.Read("accepted_num");
  Step step{reader.Read("input_tokens"), reader.Read("input_positions"), reader.Read("seq_lens"), {}};
  step.slots.resize(step.tokens.size());
  for (std::int64_t r = 0; r < call.num_seqs; ++r) {
    if (accepted[r] < 0 || accepted[r] >= width) {
      Fail(call.op, "accepted_num", "is out of range for sequence " + std::to_string(r), accepted[r],
           "0.." + std::to_string(width - 1));
    }
    const std::optional<std::int64_t> last = LastValid(sampled.data() + r * width, width);
    if (!last) {
      Fail(call.op, "sampled_token_ids", "has no token for sequence " + std::to_string(r), -1,
           "a token before the first -1");
    }
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t at = r * width + i;
      step.tokens[at] = i == 0 ? *last : drafts[r * (width - 1) + i - 1];
      step.positions[at] += 1 + accepted[r];
      step.lengths[at] = step.positions[at] + 1;
      step.slots[at] = reader.Slot(r, step.positions[at], "input_positions");
    }
  }
  return step;
}

void Write(const at::Tensor& target, std::vector<std::int64_t>& values) {
  target.copy_(at::from_blob(values.data(), target.sizes(), at::kLong));
}

void AdvanceStep(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input_tokens", {});
  const AdvanceStepCall<std::int64_t> call = ReadAdvanceStep<std::int64_t>(a);
  CheckAdvanceStep(call);
  const StepReader reader(a, call);
  Step step = call.spec_token ? SpeculativeStep(reader, call) : PlainStep(reader, call);
  Write(a.Tensor("input_tokens"), step.tokens);
  Write(a.Tensor("input_positions"), step.positions);
  Write(a.Tensor("seq_lens"), step.lengths);
  Write(a.Tensor("slot_mapping"), step.slots);
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) {
  m.impl("npu_advance_step_flashattn", torch::CppFunction::makeFromBoxedFunction<&AdvanceStep>());
}

}  // namespace npufa::cpu
