// Inputs in the types of the operators' definitions, which have one where torch's operators take several. These here
// need no other memory; Task::Convert makes copies.
#pragma once

#include <ATen/core/Tensor.h>

namespace npufa::npu {

// A mask of one-byte elements as uint8.
at::Tensor Bytes(const at::Tensor& mask);

// Elements of one, two or four bytes as integers: what is moved as it is.
at::Tensor AsIntegers(const at::Tensor& t);

// One float32 number: itself, or the low half of a 64-bit integer that holds its bits.
at::Tensor FloatOfBits(const at::Tensor& scale);

// A combined antiquant scale or offset as (2, Nkv, 1, D) where its type alone says that it is per channel: as float32
// (2, Nkv, D) might be per token.
at::Tensor WithChannelShape(const at::Tensor& scale);

}  // namespace npufa::npu
