// Tensors of the caller that an operator writes, for kernels that know no strides.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace npufa {

class InPlace {
 public:
  // The tensor itself, or a dense copy, whose values Finish() brings back.
  at::Tensor Dense(const at::Tensor& given) {
    written_.emplace_back(given, given.contiguous());
    return written_.back().second;
  }

  void Finish() const {
    for (const auto& [given, dense] : written_) {
      if (!given.is_same(dense)) given.copy_(dense);
    }
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> written_;
};

// A copy, also of float8 on an NPU, which copies its bits.
inline at::Tensor CopyOf(const at::Tensor& t) {
  const bool bits = t.is_floating_point() && t.element_size() == 1;
  return bits ? t.view(at::kChar).clone().view(t.scalar_type()) : t.clone();
}

}  // namespace npufa
