// Sizes of a tensor.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>

namespace gert {

struct Shape {
  static constexpr std::size_t kMaxDimNum = 25;
  static constexpr std::int64_t kInvalidDimValue = std::numeric_limits<std::int64_t>::min();

  Shape() = default;
  Shape(const std::initializer_list<std::int64_t>& sizes) {
    if (sizes.size() > kMaxDimNum) return;
    for (const std::int64_t size : sizes) sizes_[rank_++] = size;
  }

  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (std::size_t i = 0; i < rank_; ++i) {
      if (sizes_[i] != other.sizes_[i]) return false;
    }
    return true;
  }
  bool operator!=(const Shape& other) const { return !(*this == other); }

  // Number of elements; kInvalidDimValue when it does not fit.
  std::int64_t GetShapeSize() const {
    std::int64_t count = 1;
    for (std::size_t i = 0; i < rank_; ++i) {
      if (__builtin_mul_overflow(count, sizes_[i], &count)) return kInvalidDimValue;
    }
    return count;
  }
  bool IsScalar() const { return rank_ == 0; }
  void SetScalar() { rank_ = 0; }
  std::size_t GetDimNum() const { return rank_; }
  void SetDimNum(std::size_t rank) { rank_ = rank; }
  std::int64_t GetDim(std::size_t axis) const { return axis < kMaxDimNum ? sizes_[axis] : kInvalidDimValue; }
  const std::int64_t& operator[](std::size_t axis) const { return sizes_[axis]; }
  std::int64_t& operator[](std::size_t axis) { return sizes_[axis]; }
  // Does not change the rank of a shape that has the axis.
  void SetDim(std::size_t axis, std::int64_t size) {
    if (axis >= kMaxDimNum) return;
    sizes_[axis] = size;
    if (rank_ < axis) rank_ = axis;
  }
  Shape& AppendDim(std::int64_t size) {
    if (rank_ < kMaxDimNum) sizes_[rank_++] = size;
    return *this;
  }

 private:
  std::size_t rank_ = 0;
  std::array<std::int64_t, kMaxDimNum> sizes_{};
};

}  // namespace gert
