// What is known of an operator's inputs and outputs before their sizes are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "exe_graph/runtime/runtime_attrs.h"
#include "exe_graph/runtime/storage_format.h"

namespace gert {

// The tensors that stand for one declared input or output: none for an absent optional one, several for a dynamic one.
class AnchorInstanceInfo {
 public:
  AnchorInstanceInfo() = default;
  AnchorInstanceInfo(std::uint32_t start, std::uint32_t count) : start_(start), count_(count) {}
  std::size_t GetInstanceNum() const { return count_; }
  std::size_t GetInstanceStart() const { return start_; }

 private:
  std::uint32_t start_ = 0, count_ = 0;
};

class CompileTimeTensorDesc {
 public:
  CompileTimeTensorDesc() = default;
  CompileTimeTensorDesc(ge::DataType data_type, const StorageFormat& format) : data_type_(data_type), format_(format) {}
  ge::DataType GetDataType() const { return data_type_; }
  const StorageFormat& GetFormat() const { return format_; }
  ge::Format GetOriginFormat() const { return format_.GetOriginFormat(); }
  ge::Format GetStorageFormat() const { return format_.GetStorageFormat(); }

 private:
  ge::DataType data_type_ = ge::DT_UNDEFINED;
  StorageFormat format_;
};

}  // namespace gert
