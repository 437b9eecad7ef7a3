// Lengths that stay on the device.
#pragma once

#include "attention_calls.h"
#include "npu/aclnn_call.h"
#include "packed_lengths.h"

namespace npufa::npu {

// The size of a dropout mask follows from the lengths, and so does what a bias of kAlibiRows rows means.
inline LengthValues LengthValuesOf(const Arguments& a, const char* bias) {
  const at::Tensor t = a.OptionalTensor(bias);
  const bool maybe_compressed =
      t.defined() && t.dim() == 4 && t.size(2) == kAlibiRows && a.Integer("pse_layout") == kPsePerHead;
  return a.Number("keep_prob") < 1.0 || maybe_compressed ? LengthValues::kHost : LengthValues::kDevice;
}

// What the kernel reads: int64. Undefined where the host knows the values.
inline at::Tensor LengthsOnDevice(const Arguments& a, const char* name, const TensorDesc<std::int64_t>& lengths,
                                  Task* task) {
  return lengths ? task->Convert(a.Tensor(name), at::kLong) : at::Tensor();
}

// CANN's lists of a packed batch are cumulative.
inline OptionalList<std::int64_t> LengthsForCann(const OptionalList<std::int64_t>& lengths,
                                                 const AttentionSpec<std::int64_t>& spec) {
  return lengths && spec.plain_lens ? CumulativeLengths(*lengths) : lengths;
}

}  // namespace npufa::npu
