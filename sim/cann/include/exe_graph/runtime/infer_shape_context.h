// Context of an operator's shape inference.
#pragma once

#include "exe_graph/runtime/extended_kernel_context.h"

namespace gert {

class InferShapeContext : public ExtendedKernelContext {
 public:
  using ExtendedKernelContext::ExtendedKernelContext;

  const Shape* GetInputShape(std::size_t index) const { return ShapeOf(InputTensor(index)); }
  const Shape* GetDynamicInputShape(std::size_t ir_index, std::size_t relative_index) const {
    return ShapeOf(InputTensor(ir_index, relative_index));
  }
  const Shape* GetOptionalInputShape(std::size_t ir_index) const { return GetDynamicInputShape(ir_index, 0); }
  const Shape* GetRequiredInputShape(std::size_t ir_index) const { return GetDynamicInputShape(ir_index, 0); }
  const Tensor* GetInputTensor(std::size_t index) const { return InputTensor(index); }
  const Tensor* GetDynamicInputTensor(std::size_t ir_index, std::size_t relative_index) const {
    return InputTensor(ir_index, relative_index);
  }
  const Tensor* GetOptionalInputTensor(std::size_t ir_index) const { return InputTensor(ir_index, 0); }
  const Tensor* GetRequiredInputTensor(std::size_t ir_index) const { return InputTensor(ir_index, 0); }
  Shape* GetOutputShape(std::size_t index);

 private:
  static const Shape* ShapeOf(const Tensor* tensor) { return tensor == nullptr ? nullptr : &tensor->GetOriginShape(); }
};

}  // namespace gert
