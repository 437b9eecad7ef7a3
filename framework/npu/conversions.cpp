#include "npu/conversions.h"

namespace npufa::npu {

at::Tensor Bytes(const at::Tensor& mask) { return mask.defined() ? mask.view(at::kByte) : mask; }

at::Tensor AsIntegers(const at::Tensor& t) {
  return t.view(t.element_size() == 1 ? at::kChar : t.element_size() == 2 ? at::kShort : at::kInt);
}

at::Tensor FloatOfBits(const at::Tensor& scale) {
  if (!scale.defined() || scale.scalar_type() == at::kFloat) return scale;
  return scale.as_strided({1}, {1}).view(at::kFloat).slice(0, 0, 1);
}

at::Tensor WithChannelShape(const at::Tensor& scale) {
  return scale.defined() && scale.dim() == 3 && scale.scalar_type() != at::kFloat ? scale.unsqueeze(2) : scale;
}

}  // namespace npufa::npu
