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

}  // namespace npufa
