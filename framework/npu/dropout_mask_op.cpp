// _npu_dropout_gen_mask on the NPU.
#include "ops/dropout_mask_op.h"

#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "npu/dropout.h"

namespace npufa::npu {

namespace {

at::Tensor DropoutMask(const at::Tensor& input, at::IntArrayRef size, double p, std::int64_t seed, std::int64_t offset,
                       TorchOptional<bool>, TorchOptional<bool>) {
  const DropoutMaskRequest request = ReadDropoutMaskRequest(size, p);
  if (request.keep_prob == 0.0) return at::zeros({request.elements / 8}, input.options().dtype(at::kByte));
  return GenerateDropoutMask(kDropoutMaskOp, request.elements, request.keep_prob, Seed{seed, offset}, input.device());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) { m.impl("_npu_dropout_gen_mask.Tensor", &DropoutMask); }

}  // namespace npufa::npu
