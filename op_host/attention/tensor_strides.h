// Where the elements of an attention call's tensors lie, for the kernels.
#pragma once

#include <limits>

#include "../../op_kernel/tiling/sequence_tiling.h"
#include "../common/attention_call.h"
#include "../common/describe.h"

namespace npufa {

struct ChipLimits {
  std::uint32_t cube_cores = 1;
};

inline std::uint32_t Narrow(const char* op, const char* argument, std::int64_t value) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (value > most)
    Fail(op, argument, "has an extent beyond the kernel's 31-bit index", value, "at most " + Show(most));
  return static_cast<std::uint32_t>(value);
}

// Steps between neighbours along each axis of a contiguous tensor.
inline std::vector<std::uint64_t> ContiguousSteps(const std::vector<std::int64_t>& sizes) {
  std::vector<std::uint64_t> steps(sizes.size());
  std::uint64_t step = 1;
  for (std::size_t axis = sizes.size(); axis-- > 0; step *= static_cast<std::uint64_t>(sizes[axis])) steps[axis] = step;
  return steps;
}

// Strides of a contiguous tensor of (batch, tokens, heads, channels) in a layout.
inline TensorStrides StridesOf(Layout layout, std::int64_t batch, std::int64_t tokens, std::int64_t heads,
                               std::int64_t channels) {
  const Axes axes = AxesOf(layout);
  const std::vector<std::uint64_t> steps = ContiguousSteps(SizesOf(layout, batch, tokens, heads, channels));
  const std::uint64_t head = axes.head >= 0 ? steps[axes.head] : static_cast<std::uint64_t>(channels);
  return {axes.batch >= 0 ? steps[axes.batch] : 0, head, steps[axes.token]};
}

// Strides of a tensor (..., rows, columns) whose leading axes may be missing or 1: those stand still. Rows too, if there
// is one for all.
inline TensorStrides BroadcastStrides(const TensorDesc<std::int64_t>& tensor) {
  const auto columns = static_cast<std::uint64_t>(tensor.Size(-1));
  const std::uint64_t matrix = columns * static_cast<std::uint64_t>(tensor.Size(-2));
  const std::int64_t heads = tensor.Dim() == 4 ? tensor.Size(1) : 1;
  const std::int64_t batches = tensor.Dim() > 2 ? tensor.Size(0) : 1;
  return {batches == 1 ? 0 : matrix * static_cast<std::uint64_t>(heads), heads == 1 ? 0 : matrix,
          tensor.Size(-2) == 1 ? 0 : columns};
}

}  // namespace npufa
