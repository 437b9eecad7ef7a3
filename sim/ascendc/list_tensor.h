// Dynamic inputs: tensors of a list behind one address, with their shapes.
#pragma once

#include "tensor.h"

namespace AscendC {

template <class T>
class TensorDesc {
 public:
  void SetShapeAddr(uint64_t* shape) { shape_ = shape; }
  uint64_t GetDim() const { return dim_; }
  uint64_t GetIndex() const { return index_; }
  uint64_t GetShape(uint32_t offset) const { return shape_[offset]; }
  __gm__ T* GetDataPtr() const { return data_; }
  GlobalTensor<T> GetDataObj() const {
    GlobalTensor<T> tensor;
    tensor.SetGlobalBuffer(data_);
    return tensor;
  }

 private:
  friend class ListTensorDesc;
  uint64_t* shape_ = nullptr;
  uint64_t dim_ = 0, index_ = 0;
  T* data_ = nullptr;
};

// In memory: the offset in bytes of the pointers, then for each tensor a word of dimension count and index and the
// shape's words, then the pointers.
class ListTensorDesc {
 public:
  ListTensorDesc() = default;
  ListTensorDesc(__gm__ void* data, uint32_t length = 0xffffffff, uint32_t shapeSize = 0xffffffff) {
    Init(data, length, shapeSize);
  }
  void Init(__gm__ void* data, uint32_t = 0xffffffff, uint32_t = 0xffffffff) {
    words_ = static_cast<const uint64_t*>(data);
    pointers_ = reinterpret_cast<void* const*>(static_cast<const uint8_t*>(data) + words_[0]);
    count_ = 0;
    const auto* end = reinterpret_cast<const uint64_t*>(pointers_);
    for (const uint64_t* at = words_ + 1; at < end; at += 1 + Dim(at)) ++count_;
  }

  template <class T>
  void GetDesc(TensorDesc<T>& desc, uint32_t index) const {
    const uint64_t* at = words_ + 1;
    for (uint32_t i = 0; i < index; ++i) at += 1 + Dim(at);
    desc.dim_ = Dim(at);
    desc.index_ = at[0] >> 32;
    for (uint64_t i = 0; desc.shape_ && i < desc.dim_; ++i) desc.shape_[i] = at[1 + i];
    desc.data_ = GetDataPtr<T>(index);
  }
  template <class T>
  __gm__ T* GetDataPtr(uint32_t index) const {
    return reinterpret_cast<T*>(pointers_[index]);
  }
  uint32_t GetSize() const { return count_; }

 private:
  static uint64_t Dim(const uint64_t* at) { return at[0] & 0xffffffff; }

  const uint64_t* words_ = nullptr;
  void* const* pointers_ = nullptr;
  uint32_t count_ = 0;
};

}  // namespace AscendC
