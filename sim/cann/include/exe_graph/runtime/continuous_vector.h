// Arrays of a fixed capacity.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>

#include "graph/ge_error_codes.h"

namespace gert {

template <class T>
class TypedContinuousVector {
 public:
  explicit TypedContinuousVector(std::size_t capacity) : values_(new T[capacity]()), capacity_(capacity) {}
  TypedContinuousVector(const T* values, std::size_t size) : TypedContinuousVector(size) {
    std::copy(values, values + size, values_.get());
    size_ = size;
  }

  std::size_t GetCapacity() const { return capacity_; }
  std::size_t GetSize() const { return size_; }
  ge::graphStatus SetSize(std::size_t size) {
    if (size > capacity_) return ge::GRAPH_PARAM_OUT_OF_RANGE;
    size_ = size;
    return ge::GRAPH_SUCCESS;
  }
  T* MutableData() { return values_.get(); }
  const T* GetData() const { return values_.get(); }

 private:
  std::unique_ptr<T[]> values_;
  std::size_t capacity_ = 0, size_ = 0;
};

}  // namespace gert
