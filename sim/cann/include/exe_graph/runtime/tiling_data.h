// The buffer in which tiling leaves what the kernel reads.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <vector>

#include "graph/ge_error_codes.h"

namespace gert {

class TilingData {
 public:
  explicit TilingData(std::size_t capacity) : bytes_(capacity) {}
  TilingData(const TilingData&) = delete;
  TilingData& operator=(const TilingData&) = delete;

  std::size_t GetCapacity() const { return bytes_.size(); }
  std::size_t GetDataSize() const { return size_; }
  void SetDataSize(std::size_t size) { size_ = size; }
  void* GetData() { return bytes_.data(); }
  const void* GetData() const { return bytes_.data(); }

  // nullptr when the capacity does not suffice.
  void* Expand(std::size_t size) {
    if (size > bytes_.size() - size_) return nullptr;
    void* start = bytes_.data() + size_;
    size_ += size;
    return start;
  }
  template <class T, std::enable_if_t<std::is_standard_layout<T>::value, int> = 0>
  ge::graphStatus Append(const T& value) {
    return Append(&value, 1);
  }
  template <class T, std::enable_if_t<std::is_standard_layout<T>::value, int> = 0>
  ge::graphStatus Append(const T* values, std::size_t count) {
    void* start = Expand(sizeof(T) * count);
    if (start == nullptr) return ge::GRAPH_FAILED;
    std::memcpy(start, values, sizeof(T) * count);
    return ge::GRAPH_SUCCESS;
  }

 private:
  std::vector<unsigned char> bytes_;
  std::size_t size_ = 0;
};

}  // namespace gert
