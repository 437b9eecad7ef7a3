// Format as the caller sees it, and as the elements are stored.
#pragma once

#include "graph/types.h"

namespace gert {

struct StorageFormat {
  StorageFormat() = default;

  ge::Format GetOriginFormat() const { return origin_; }
  void SetOriginFormat(ge::Format format) { origin_ = format; }
  ge::Format GetStorageFormat() const { return storage_; }
  void SetStorageFormat(ge::Format format) { storage_ = format; }
  bool operator==(const StorageFormat& other) const { return origin_ == other.origin_ && storage_ == other.storage_; }
  bool operator!=(const StorageFormat& other) const { return !(*this == other); }

 private:
  ge::Format origin_ = ge::FORMAT_ND;
  ge::Format storage_ = ge::FORMAT_ND;
};

}  // namespace gert
