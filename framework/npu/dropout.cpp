#include "npu/dropout.h"

#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/floor_divide.h>

#include "npu/aclnn_call.h"
#include "ops/dropout_threshold.h"
#include "torch_npu_compat.h"

namespace npufa::npu {

namespace {

constexpr std::int64_t kInsteadOfZero = 0x5851F42D4C957F2D;
constexpr std::int64_t kWordsPerCounter = 4;  // generators count words

Seed CapturedSeed(const torch_npu::PhiloxState& state) {
  const at::Tensor seed = state.seed_tensor->reshape({1}), words = state.offset_tensor->reshape({1});
  const at::Tensor is_zero = at::eq(seed, 0).to(at::kLong);
  return {0, 0, at::add(seed, is_zero, kInsteadOfZero),
          at::floor_divide(at::add(words, static_cast<std::int64_t>(state.offset_in_graph)), kWordsPerCounter)};
}

}  // namespace

Seed DrawSeed(const Arguments& a, std::int64_t words, const at::Device& device) {
  at::Generator generator = torch_npu::DefaultGenerator(device);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  const torch_npu::PhiloxState state = torch_npu::DrawPhilox(generator, static_cast<std::uint64_t>(words));
  if (!state.captured) {
    const auto seed = static_cast<std::int64_t>(state.seed);
    return {seed == 0 ? kInsteadOfZero : seed, static_cast<std::int64_t>(state.offset) / kWordsPerCounter};
  }
  if (a.Has("seed")) {
    Fail(a.Op(), "seed", "cannot be drawn while a graph is captured", 0,
         "a seed, a dropout_mask, or npu_fusion_attention_v3, which returns its seed as a tensor");
  }
  return CapturedSeed(state);
}

at::Tensor GenerateDropoutMask(const char* op, std::int64_t elements, double keep_prob, const Seed& seed,
                               const at::Device& device) {
  at::Tensor mask = at::empty({(elements + 7) / 8}, at::device(device).dtype(at::kByte));
  if (elements == 0) return mask;
  CallAclnn(op, "aclnnNpufaDropoutMask", device,
            OptionalList<std::int64_t>(std::vector<std::int64_t>{elements, seed.seed, seed.offset}),
            seed.seed_on_device, seed.offset_on_device, static_cast<std::int64_t>(DropoutThreshold(keep_prob)), mask);
  return mask;
}

}  // namespace npufa::npu
