// Tensors of the caller that an operator writes, for kernels that know no strides.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace npufa {

// A cache as kernels address it that know no strides.
struct CacheMemory {
  at::Tensor tensor;            // dense
  std::int64_t block_step = 1;  // the cache is every block_step-th of its blocks
};

// With a tensor that is not dense where the cache is anything else than dense blocks between others of their size.
inline CacheMemory MemoryOf(const at::Tensor& cache) {
  if (cache.is_contiguous() || cache.dim() == 0 || cache.stride(0) == 0) return {cache};
  std::vector<std::int64_t> sizes = cache.sizes().vec(), strides(sizes.size());
  std::int64_t block = 1;
  bool dense = true;
  for (std::int64_t axis = cache.dim() - 1; axis > 0; --axis) {
    dense = dense && (sizes[axis] == 1 || cache.stride(axis) == block);
    strides[axis] = block;
    block *= sizes[axis];
  }
  if (!dense || cache.stride(0) % block != 0) return {cache};
  const std::int64_t step = cache.stride(0) / block;
  strides[0] = block;
  sizes[0] = (sizes[0] - 1) * step + 1;
  return {cache.as_strided(sizes, strides), step};
}

class InPlace {
 public:
  // The tensor itself, or a dense copy, whose values Finish() brings back.
  at::Tensor Dense(const at::Tensor& given) {
    written_.emplace_back(given, given.contiguous());
    return written_.back().second;
  }

  // The same for a paged cache; one between other blocks needs no copy.
  CacheMemory Cache(const at::Tensor& given) {
    const CacheMemory memory = MemoryOf(given);
    return memory.block_step > 1 ? memory : CacheMemory{Dense(given)};
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
