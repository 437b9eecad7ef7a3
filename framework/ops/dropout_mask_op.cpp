#include "dropout_mask_op.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "check.h"

namespace npufa {

DropoutMaskRequest ReadDropoutMaskRequest(at::IntArrayRef size, double p) {
  constexpr std::int64_t kBlock = 128;
  if (!(p >= 0.0 && p <= 1.0)) Fail(kDropoutMaskOp, "p", "is no probability", p, "a number in 0..1");
  std::int64_t elements = 1;
  for (const std::int64_t extent : size) {
    if (extent < 0) Fail(kDropoutMaskOp, "size", "is negative", size.vec(), "extents of at least 0");
    elements *= extent;
  }
  return {(elements + kBlock - 1) / kBlock * kBlock, 1.0 - p};
}

namespace {

at::Tensor DropoutMaskMeta(const at::Tensor& input, at::IntArrayRef size, double p, std::int64_t, std::int64_t,
                           TorchOptional<bool>, TorchOptional<bool>) {
  return at::empty({ReadDropoutMaskRequest(size, p).elements / 8}, input.options().dtype(at::kByte));
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, Meta, m) { m.impl("_npu_dropout_gen_mask.Tensor", &DropoutMaskMeta); }

}  // namespace npufa
