// What a rule may know of a tensor: its dtype and sizes. No data, no strides, no framework.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "check.h"
#include "dtype.h"

namespace npufa {

template <class Int>
struct TensorDesc {
  bool defined = false;
  DType dtype = DType::kOther;
  std::vector<Int> sizes;

  std::int64_t Dim() const { return static_cast<std::int64_t>(sizes.size()); }
  const Int& Size(std::int64_t axis) const { return sizes[axis < 0 ? axis + Dim() : axis]; }
  Int Numel() const {
    Int n(1);
    for (const Int& s : sizes) n = n * s;
    return n;
  }
  explicit operator bool() const { return defined; }
};

template <class Int>
using OptionalList = std::optional<std::vector<Int>>;

template <class Int>
bool SameSizes(const TensorDesc<Int>& t, const std::vector<Int>& sizes) {
  if (t.Dim() != static_cast<std::int64_t>(sizes.size())) return false;
  for (std::int64_t i = 0; i < t.Dim(); ++i) {
    if (KnownNe(t.sizes[i], sizes[i])) return false;
  }
  return true;
}

// The sizes without the extents of 1: documented per-channel shapes differ only in those.
template <class Int>
std::vector<Int> Squeezed(const std::vector<Int>& sizes) {
  std::vector<Int> out;
  for (const Int& s : sizes) {
    if (!KnownEq(s, Int(1))) out.push_back(s);
  }
  return out;
}

}  // namespace npufa
