// Rotation by cosines and sines on the CPU (SPEC section 9b). Arithmetic is float32.
#include "rotary.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "arguments.h"

namespace npufa::cpu {

namespace {

// Where the two elements that turn together come from and go to.
struct Pairs {
  std::int64_t in_first, in_second, in_step;
  std::int64_t out_first, out_second, out_step;
};

Pairs PairsOf(const std::string& mode, std::int64_t columns) {
  const std::int64_t half = columns / 2;
  if (mode == "half") return {0, half, 1, 0, half, 1};
  if (mode == "interleave") return {0, 1, 2, 0, 1, 2};
  return {0, 1, 2, 0, half, 1};
}

void RotateRow(const Pairs& p, std::int64_t columns, bool transposed, const float* x, const float* cosines,
               const float* sines, float* y) {
  for (std::int64_t i = 0; i < columns / 2; ++i) {
    const float first = x[p.in_first + i * p.in_step], second = x[p.in_second + i * p.in_step];
    const std::int64_t a = p.out_first + i * p.out_step, b = p.out_second + i * p.out_step;
    if (transposed) {
      y[a] = first * cosines[a] + second * sines[b];
      y[b] = second * cosines[b] - first * sines[a];
    } else {
      y[a] = first * cosines[a] - second * sines[a];
      y[b] = second * cosines[b] + first * sines[b];
    }
  }
}

void Rotary(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input", {});
  const RotaryCall<std::int64_t> call = ReadRotaryMul<std::int64_t>(a);
  const at::Tensor input = a.Tensor("input").to(at::kFloat).contiguous();
  const std::vector<std::int64_t> sizes = call.input.sizes;
  const at::Tensor cosines = a.Tensor("r1").to(at::kFloat).contiguous().expand(sizes),
                   sines = a.Tensor("r2").to(at::kFloat).contiguous().expand(sizes);
  const at::Tensor rotated = at::empty_like(input);
  const std::int64_t columns = sizes.back(), rows = input.numel() / std::max<std::int64_t>(columns, 1);
  const Pairs pairs = PairsOf(call.mode, columns);
  // Elements from the first cosine to that of a row.
  const auto offset = [&](std::int64_t row) {
    std::int64_t at = 0;
    for (std::int64_t axis = static_cast<std::int64_t>(sizes.size()) - 2; axis >= 0; --axis) {
      at += row % sizes[axis] * cosines.stride(axis);
      row /= sizes[axis];
    }
    return at;
  };
  at::parallel_for(0, rows, at::internal::GRAIN_SIZE / (columns + 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t angle = offset(row);
      RotateRow(pairs, columns, call.transposed, input.const_data_ptr<float>() + row * columns,
                cosines.const_data_ptr<float>() + angle, sines.const_data_ptr<float>() + angle,
                rotated.mutable_data_ptr<float>() + row * columns);
    }
  });
  const at::Tensor result = rotated.to(a.Tensor("input").scalar_type());
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(result);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) { m.impl("_npu_rotary", torch::CppFunction::makeFromBoxedFunction<&Rotary>()); }

}  // namespace npufa::cpu
