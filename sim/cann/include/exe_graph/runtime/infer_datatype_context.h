// Context of an operator's type inference.
#pragma once

#include "exe_graph/runtime/extended_kernel_context.h"

namespace gert {

class InferDataTypeContext : public ExtendedKernelContext {
 public:
  using ExtendedKernelContext::ExtendedKernelContext;

  // DT_UNDEFINED where there is no such tensor.
  ge::DataType GetInputDataType(std::size_t index) const { return TypeOf(InputTensor(index)); }
  ge::DataType GetDynamicInputDataType(std::size_t ir_index, std::size_t relative_index) const {
    return TypeOf(InputTensor(ir_index, relative_index));
  }
  ge::DataType GetOptionalInputDataType(std::size_t ir_index) const { return GetDynamicInputDataType(ir_index, 0); }
  ge::DataType GetRequiredInputDataType(std::size_t ir_index) const { return GetDynamicInputDataType(ir_index, 0); }
  ge::DataType GetOutputDataType(std::size_t index) const;
  ge::graphStatus SetOutputDataType(std::size_t index, ge::DataType data_type);

 private:
  static ge::DataType TypeOf(const Tensor* tensor) {
    return tensor == nullptr ? ge::DT_UNDEFINED : tensor->GetDataType();
  }
};

}  // namespace gert
