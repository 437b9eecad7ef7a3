// Context of an operator's tiling: sizes in, number of cores, tiling key, workspace and tiling data out.
#pragma once

#include "exe_graph/runtime/continuous_vector.h"
#include "exe_graph/runtime/extended_kernel_context.h"
#include "exe_graph/runtime/tiling_data.h"

namespace fe {
class PlatFormInfos;
}

namespace gert {

class TilingContext : public ExtendedKernelContext {
 public:
  using ExtendedKernelContext::ExtendedKernelContext;

  const StorageShape* GetInputShape(std::size_t index) const { return ShapeOf(InputTensor(index)); }
  const StorageShape* GetDynamicInputShape(std::size_t ir_index, std::size_t relative_index) const {
    return ShapeOf(InputTensor(ir_index, relative_index));
  }
  const StorageShape* GetOptionalInputShape(std::size_t ir_index) const { return GetDynamicInputShape(ir_index, 0); }
  const StorageShape* GetRequiredInputShape(std::size_t ir_index) const { return GetDynamicInputShape(ir_index, 0); }
  const Tensor* GetInputTensor(std::size_t index) const { return InputTensor(index); }
  const Tensor* GetDynamicInputTensor(std::size_t ir_index, std::size_t relative_index) const {
    return InputTensor(ir_index, relative_index);
  }
  const Tensor* GetOptionalInputTensor(std::size_t ir_index) const { return InputTensor(ir_index, 0); }
  const Tensor* GetRequiredInputTensor(std::size_t ir_index) const { return InputTensor(ir_index, 0); }
  const StorageShape* GetOutputShape(std::size_t index) const;

  ge::graphStatus SetTilingKey(std::uint64_t tiling_key);
  std::uint64_t GetTilingKey() const;
  ge::graphStatus SetBlockDim(std::uint32_t block_dim);
  std::uint32_t GetBlockDim() const;
  // 1: all blocks must start together, as kernels with SyncAll need.
  ge::graphStatus SetScheduleMode(std::uint32_t schedule_mode);
  std::uint32_t GetScheduleMode() const;

  TilingData* GetRawTilingData();
  // Sets the data size to that of T; nullptr when the capacity does not suffice.
  template <class T>
  T* GetTilingData() {
    TilingData* data = GetRawTilingData();
    if (data->GetCapacity() < sizeof(T)) return nullptr;
    data->SetDataSize(sizeof(T));
    return static_cast<T*>(data->GetData());
  }
  // Room for the sizes of `count` workspaces; nullptr when that many are not possible.
  std::size_t* GetWorkspaceSizes(std::size_t count);
  std::size_t GetWorkspaceNum() const;
  fe::PlatFormInfos* GetPlatformInfo() const;
  std::int32_t GetDeterministic() const;

 private:
  static const StorageShape* ShapeOf(const Tensor* tensor) { return tensor == nullptr ? nullptr : &tensor->GetShape(); }
};

}  // namespace gert
