// _npu_dropout_gen_mask on the CPU: the bits come from the very function that drops probabilities.
#include "ops/dropout_mask_op.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <array>

#include "cpu/primitives/capability.h"
#include "cpu/primitives/primitives.h"
#include "ops/dropout_threshold.h"

namespace npufa::cpu {

namespace {

constexpr std::int64_t kBlock = 128;  // elements per call; masks are multiples of it

at::Tensor DropoutMask(const at::Tensor& input, at::IntArrayRef size, double p, std::int64_t seed, std::int64_t offset,
                       TorchOptional<bool>, TorchOptional<bool>) {
  const DropoutMaskRequest request = ReadDropoutMaskRequest(size, p);
  at::Tensor mask = at::empty({request.elements / 8}, input.options().dtype(at::kByte));
  std::uint8_t* bytes = mask.data_ptr<std::uint8_t>();
  const Primitives& primitives = BestPrimitives();
  const std::uint64_t threshold = DropoutThreshold(request.keep_prob);
  at::parallel_for(0, request.elements / kBlock, 64, [&](std::int64_t begin, std::int64_t end) {
    std::array<float, kBlock> kept;
    for (std::int64_t block = begin; block < end; ++block) {
      kept.fill(1.0f);
      primitives.dropout_philox_row(kBlock, kept.data(), static_cast<std::uint64_t>(seed),
                                    static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(block * kBlock),
                                    threshold, 1.0f);
      for (std::int64_t byte = 0; byte < kBlock / 8; ++byte) {
        unsigned bits = 0;
        for (int bit = 0; bit < 8; ++bit) bits |= (kept[byte * 8 + bit] != 0.0f ? 1u : 0u) << bit;
        bytes[block * kBlock / 8 + byte] = static_cast<std::uint8_t>(bits);
      }
    }
  });
  return mask;
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) { m.impl("_npu_dropout_gen_mask.Tensor", &DropoutMask); }

}  // namespace npufa::cpu
