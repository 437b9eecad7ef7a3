// The operators that merge partial attentions, on the CPU (SPEC section 9b). Arithmetic is float32.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/attention_update_results.h"
#include "ops/results.h"

namespace npufa::cpu {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

at::Tensor Floats(const at::Tensor& t) { return t.to(at::kFloat).contiguous(); }

std::vector<at::Tensor> Floats(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> floats;
  for (const at::Tensor& t : tensors) floats.push_back(Floats(t));
  return floats;
}

// The log-sum-exp of all keys, from that of parts; parts without keys have +inf, in some libraries -inf. Leaves the
// parts' weights.
float Weigh(std::vector<float>* parts) {
  float maximum = -kInfinity, sum = 0.0F;
  for (const float lse : *parts) {
    if (lse != kInfinity) maximum = std::max(maximum, lse);
  }
  for (float& part : *parts) {
    part = std::isinf(part) ? 0.0F : std::exp(part - maximum);
    sum += part;
  }
  if (sum == 0.0F) return kInfinity;
  for (float& part : *parts) part /= sum;
  return maximum + std::log(sum);
}

void AttentionUpdate(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("local_out", {});
  const auto call = ReadAttentionUpdate<std::int64_t>(a);
  const std::int64_t rows = call.outputs[0].Size(0), columns = call.outputs[0].Size(1);
  const std::vector<at::Tensor> lse = Floats(a.Tensors("lse")), outputs = Floats(a.Tensors("local_out"));
  std::vector<at::Tensor> results = AttentionUpdateResults(a, call.returns_lse);
  const at::Tensor merged = at::zeros(outputs[0].sizes(), outputs[0].options());
  float* to = merged.mutable_data_ptr<float>();
  float* lse_out = call.returns_lse ? results[1].mutable_data_ptr<float>() : nullptr;
  at::parallel_for(0, rows, at::internal::GRAIN_SIZE / (columns + 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> weights(lse.size());
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::size_t i = 0; i < lse.size(); ++i) weights[i] = lse[i].const_data_ptr<float>()[row];
      const float total = Weigh(&weights);
      if (lse_out != nullptr) lse_out[row] = total;
      for (std::size_t i = 0; i < lse.size(); ++i) {
        if (weights[i] == 0.0F) continue;
        const float* from = outputs[i].const_data_ptr<float>() + row * columns;
        for (std::int64_t c = 0; c < columns; ++c) to[row * columns + c] += weights[i] * from[c];
      }
    }
  });
  results[0].copy_(merged);
  ReturnResults(op, stack, std::move(results));
}

// Consecutive rows of the statistics whose outputs are equally far apart.
struct Rows {
  std::int64_t statistic, output, count;
};

std::vector<std::int64_t> Ends(const RingUpdateCall<std::int64_t>& call, const at::Tensor& lengths) {
  const at::Tensor host = lengths.contiguous();
  std::vector<std::int64_t> ends(host.const_data_ptr<std::int64_t>(),
                                 host.const_data_ptr<std::int64_t>() + host.numel());
  while (!ends.empty() && ends.back() == 0) ends.pop_back();  // sequences that take no part
  std::int64_t before = 0;
  for (const std::int64_t end : ends) {
    if (end < before || end > call.tokens) {
      Fail(call.op, "actual_seq_qlen", "is not cumulative within the tokens", ends,
           "lengths like [2, 5, 9] up to " + std::to_string(call.tokens));
    }
    before = end;
  }
  ends.push_back(call.tokens);  // tokens behind the last sequence count as one more
  return ends;
}

std::vector<Rows> AllRows(const RingUpdateCall<std::int64_t>& call, const at::Tensor& lengths) {
  if (call.tokens_first) return {{0, 0, call.tokens * call.heads}};
  std::vector<Rows> rows;
  const auto add = [&](std::int64_t first, std::int64_t output, std::int64_t tokens) {
    for (std::int64_t head = 0; head < call.heads; ++head) {
      rows.push_back({first * call.heads + head * tokens, output + head * call.columns, tokens});
    }
  };
  const std::int64_t token = call.heads * call.columns;
  if (!call.packed) {
    for (std::int64_t b = 0; b < call.sequences; ++b) add(b * call.tokens, b * token, call.tokens);
    return rows;
  }
  std::int64_t begin = 0;
  for (const std::int64_t end : Ends(call, lengths)) {
    if (end > begin) add(begin, begin * token, end - begin);
    begin = std::max(begin, end);
  }
  return rows;
}

struct RingStep {
  at::Tensor output, maximum, sum;
};

// One row: `weights` of both steps, the new maximum and sum.
void MergeStatistics(const float maximum[2], const float sum[2], float weights[2], float* new_maximum, float* new_sum) {
  float larger = -kInfinity;
  for (int i = 0; i < 2; ++i) larger = sum[i] > 0.0F ? std::max(larger, maximum[i]) : larger;
  for (int i = 0; i < 2; ++i) weights[i] = sum[i] > 0.0F ? sum[i] * std::exp(maximum[i] - larger) : 0.0F;
  *new_sum = weights[0] + weights[1];
  *new_maximum = *new_sum > 0.0F ? larger : 0.0F;
  for (int i = 0; i < 2 && *new_sum > 0.0F; ++i) weights[i] /= *new_sum;
}

void RingUpdate(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  constexpr std::int64_t kWidth = 8;
  const Arguments a(op, *stack);
  a.RequireOneDevice("prev_attn_out", {});
  const auto call = ReadRingUpdate<std::int64_t>(a);
  const std::vector<Rows> rows = AllRows(call, a.OptionalTensor("actual_seq_qlen"));
  const RingStep steps[2] = {
      {Floats(a.Tensor("prev_attn_out")), Floats(a.Tensor("prev_softmax_max")), Floats(a.Tensor("prev_softmax_sum"))},
      {Floats(a.Tensor("cur_attn_out")), Floats(a.Tensor("cur_softmax_max")), Floats(a.Tensor("cur_softmax_sum"))}};
  std::vector<at::Tensor> results = RingUpdateResults(a);
  const at::Tensor merged = at::empty(steps[0].output.sizes(), steps[0].output.options());
  float* to = merged.mutable_data_ptr<float>();
  float *new_maximum = results[1].mutable_data_ptr<float>(), *new_sum = results[2].mutable_data_ptr<float>();
  const std::int64_t token = call.heads * call.columns;
  const std::int64_t pitch = call.tokens_first ? call.columns : call.packed ? token : call.sequences * token;
  const auto merge = [&](std::int64_t statistic, std::int64_t output) {
    float maximum[2], sum[2], weights[2], larger, total;
    for (int i = 0; i < 2; ++i) {
      maximum[i] = steps[i].maximum.const_data_ptr<float>()[statistic * kWidth];
      sum[i] = steps[i].sum.const_data_ptr<float>()[statistic * kWidth];
    }
    MergeStatistics(maximum, sum, weights, &larger, &total);
    std::fill_n(new_maximum + statistic * kWidth, kWidth, larger);
    std::fill_n(new_sum + statistic * kWidth, kWidth, total);
    const float *before = steps[0].output.const_data_ptr<float>() + output,
                *now = steps[1].output.const_data_ptr<float>() + output;
    for (std::int64_t c = 0; c < call.columns; ++c) to[output + c] = weights[0] * before[c] + weights[1] * now[c];
  };
  for (const Rows& part : rows) {
    at::parallel_for(0, part.count, at::internal::GRAIN_SIZE / (call.columns + 1) + 1,
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t i = begin; i < end; ++i) merge(part.statistic + i, part.output + i * pitch);
                     });
  }
  results[0].copy_(merged);
  ReturnResults(op, stack, std::move(results));
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) {
  m.impl("npu_attention_update", torch::CppFunction::makeFromBoxedFunction<&AttentionUpdate>());
  m.impl("npu_ring_attention_update", torch::CppFunction::makeFromBoxedFunction<&RingUpdate>());
}

}  // namespace npufa::cpu
