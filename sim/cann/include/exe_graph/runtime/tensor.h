// A tensor of a call. Its elements can be read only where the operator asked for their values (ValueDepend).
#pragma once

#include "exe_graph/runtime/storage_format.h"
#include "exe_graph/runtime/storage_shape.h"
#include "exe_graph/runtime/tensor_data.h"

namespace gert {

class Tensor {
 public:
  Tensor() = default;
  Tensor(const StorageShape& shape, const StorageFormat& format, TensorPlacement placement, ge::DataType data_type,
         void* address)
      : shape_(shape), format_(format), placement_(placement), data_type_(data_type), address_(address) {}

  std::int64_t GetShapeSize() const { return GetStorageShape().GetShapeSize(); }
  template <class T>
  const T* GetData() const {
    return static_cast<const T*>(GetAddr());
  }
  template <class T>
  T* GetData() {
    return static_cast<T*>(GetAddr());
  }
  const void* GetAddr() const { return address_; }
  void* GetAddr() { return address_; }
  std::size_t GetSize() const { return static_cast<std::size_t>(ge::GetSizeInBytes(GetShapeSize(), data_type_)); }
  ge::DataType GetDataType() const { return data_type_; }
  const StorageShape& GetShape() const { return shape_; }
  const Shape& GetStorageShape() const { return shape_.GetStorageShape(); }
  const Shape& GetOriginShape() const { return shape_.GetOriginShape(); }
  const StorageFormat& GetFormat() const { return format_; }
  ge::Format GetStorageFormat() const { return format_.GetStorageFormat(); }
  ge::Format GetOriginFormat() const { return format_.GetOriginFormat(); }
  TensorPlacement GetPlacement() const { return placement_; }

 private:
  StorageShape shape_;
  StorageFormat format_;
  TensorPlacement placement_ = kOnDeviceHbm;
  ge::DataType data_type_ = ge::DT_UNDEFINED;
  void* address_ = nullptr;
};

}  // namespace gert
