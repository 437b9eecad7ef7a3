// _npu_dropout_gen_mask: the bits of a dropout mask, for whoever wants to see or to pass them.
#pragma once

#include <ATen/core/Tensor.h>

#include "torch_compat.h"

namespace npufa {

inline constexpr const char* kDropoutMaskOp = "_npu_dropout_gen_mask";

struct DropoutMaskRequest {
  std::int64_t elements;  // a multiple of 128, which is how masks are allocated
  double keep_prob;
};

DropoutMaskRequest ReadDropoutMaskRequest(at::IntArrayRef size, double p);

}  // namespace npufa
