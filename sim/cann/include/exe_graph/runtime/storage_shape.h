// Sizes as the caller sees them, and as the elements are stored.
#pragma once

#include "exe_graph/runtime/shape.h"

namespace gert {

struct StorageShape {
  StorageShape() = default;
  StorageShape(const std::initializer_list<std::int64_t>& origin, const std::initializer_list<std::int64_t>& storage)
      : origin_(origin), storage_(storage) {}

  const Shape& GetOriginShape() const { return origin_; }
  const Shape& GetStorageShape() const { return storage_; }
  Shape& MutableOriginShape() { return origin_; }
  Shape& MutableStorageShape() { return storage_; }
  bool operator==(const StorageShape& other) const { return origin_ == other.origin_ && storage_ == other.storage_; }
  bool operator!=(const StorageShape& other) const { return !(*this == other); }

 private:
  Shape origin_;
  Shape storage_;
};

}  // namespace gert
