#include "fusion_results.h"

namespace npufa {

namespace {

// The tensor of one number; undefined where the argument is none.
at::Tensor OneNumber(const Arguments& a, const char* name) {
  const at::Tensor t = a.Has(name) && a.At(name).isTensor() ? a.Tensor(name) : at::Tensor();
  if (t.defined() && (t.numel() != 1 || t.scalar_type() != at::kLong)) {
    Fail(a.Op(), name, "is not one int64", Desc<std::int64_t>(t).sizes, "an int64 tensor with one element");
  }
  return t;
}

std::int64_t ReadScalar(const Arguments& a, const char* name) {
  const at::Tensor t = OneNumber(a, name);
  if (t.defined()) return t.reshape(-1).select(0, 0).item<std::int64_t>();
  return a.Has(name) && !a.At(name).isNone() ? a.Integer(name) : 0;
}

}  // namespace

Seed ForwardSeed(const Arguments& a, const AttentionCall<std::int64_t>& call, const std::function<Seed()>& draw) {
  const Seed given{a.Integer("seed"), a.Integer("offset")};
  if (call.keep_prob >= 1.0 || given.seed != 0 || call.dropout_mask) return given;
  Seed drawn = draw();
  drawn.offset += given.offset;
  return drawn;
}

Seed BackwardSeed(const Arguments& a) {
  const at::Tensor seed = OneNumber(a, "seed"), offset = OneNumber(a, "offset");
  if (seed.defined() && offset.defined() && !seed.is_cpu() && !offset.is_cpu()) return {0, 0, seed, offset};
  return {ReadScalar(a, "seed"), ReadScalar(a, "offset")};
}

void WarnAboutPlainLengths(const AttentionCall<std::int64_t>& call, const AttentionSpec<std::int64_t>& spec) {
  if (!spec.plain_lens) return;
  TORCH_WARN_ONCE("npufa::", call.op,
                  ": actual_seq_qlen/actual_seq_kvlen sum to T and are taken as plain lengths; the "
                  "documented form is cumulative, e.g. [2, 5, 9] for sequences of 2, 3 and 4 tokens");
}

void ReturnForward(const c10::OperatorHandle& op, torch::jit::Stack* stack, std::vector<at::Tensor> results, Seed seed,
                   std::int64_t scores) {
  if (results.size() == 4) {
    ReturnResults(op, stack, std::move(results));
    torch::jit::push(*stack, seed.seed, seed.offset, scores);
  } else if (seed.seed_on_device.defined()) {
    results[4].copy_(seed.seed_on_device);
    results[5].copy_(seed.offset_on_device);
    ReturnResults(op, stack, std::move(results));
  } else {
    results[4].fill_(seed.seed);
    results[5].fill_(seed.offset);
    ReturnResults(op, stack, std::move(results));
  }
}

}  // namespace npufa
