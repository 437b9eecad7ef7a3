// What every function of an operator can ask about the call it works for.
//
// An `index` counts the tensors that are present; an `ir_index` counts declared inputs. They differ as soon as an
// optional input is absent or a dynamic one is present.
#pragma once

#include <cstddef>

#include "exe_graph/runtime/base_type.h"
#include "exe_graph/runtime/compute_node_info.h"
#include "exe_graph/runtime/runtime_attrs.h"
#include "exe_graph/runtime/tensor.h"

namespace npufa_sim {
struct CallState;
}

namespace gert {

class ExtendedKernelContext {
 public:
  explicit ExtendedKernelContext(npufa_sim::CallState* state) : state_(state) {}
  ExtendedKernelContext(const ExtendedKernelContext&) = delete;
  ExtendedKernelContext& operator=(const ExtendedKernelContext&) = delete;

  // nullptr beyond the last tensor.
  const CompileTimeTensorDesc* GetInputDesc(std::size_t index) const;
  const CompileTimeTensorDesc* GetOutputDesc(std::size_t index) const;
  const CompileTimeTensorDesc* GetDynamicInputDesc(std::size_t ir_index, std::size_t relative_index) const;
  const CompileTimeTensorDesc* GetOptionalInputDesc(std::size_t ir_index) const {
    return GetDynamicInputDesc(ir_index, 0);
  }
  const CompileTimeTensorDesc* GetRequiredInputDesc(std::size_t ir_index) const {
    return GetDynamicInputDesc(ir_index, 0);
  }
  const AnchorInstanceInfo* GetIrInputInstanceInfo(std::size_t ir_index) const;
  const AnchorInstanceInfo* GetIrOutputInstanceInfo(std::size_t ir_index) const;
  std::size_t GetComputeNodeInputNum() const;
  std::size_t GetComputeNodeOutputNum() const;
  const RuntimeAttrs* GetAttrs() const;
  const ge::char_t* GetNodeType() const;
  const ge::char_t* GetNodeName() const;

 protected:
  const Tensor* InputTensor(std::size_t index) const;
  const Tensor* InputTensor(std::size_t ir_index, std::size_t relative_index) const;

  npufa_sim::CallState* state_;
};

}  // namespace gert
