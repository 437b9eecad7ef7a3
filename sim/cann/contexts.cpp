// The contexts of inference and tiling functions.
#include "call_state.h"
#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "exe_graph/runtime/tiling_context.h"

namespace gert {

namespace {

template <class Values>
auto* At(Values& values, std::size_t index) {
  return index < values.size() ? &values[index] : nullptr;
}

// Position of the tensor among those present, or beyond the last one.
std::size_t Position(const AnchorInstanceInfo* anchor, std::size_t relative_index) {
  if (anchor == nullptr || relative_index >= anchor->GetInstanceNum()) return static_cast<std::size_t>(-1);
  return anchor->GetInstanceStart() + relative_index;
}

}  // namespace

const CompileTimeTensorDesc* ExtendedKernelContext::GetInputDesc(std::size_t index) const {
  return At(state_->input_descs, index);
}

const CompileTimeTensorDesc* ExtendedKernelContext::GetOutputDesc(std::size_t index) const {
  return At(state_->output_descs, index);
}

const CompileTimeTensorDesc* ExtendedKernelContext::GetDynamicInputDesc(std::size_t ir_index,
                                                                        std::size_t relative_index) const {
  return GetInputDesc(Position(GetIrInputInstanceInfo(ir_index), relative_index));
}

const AnchorInstanceInfo* ExtendedKernelContext::GetIrInputInstanceInfo(std::size_t ir_index) const {
  return At(state_->input_anchors, ir_index);
}

const AnchorInstanceInfo* ExtendedKernelContext::GetIrOutputInstanceInfo(std::size_t ir_index) const {
  return At(state_->output_anchors, ir_index);
}

std::size_t ExtendedKernelContext::GetComputeNodeInputNum() const { return state_->inputs.size(); }
std::size_t ExtendedKernelContext::GetComputeNodeOutputNum() const { return state_->outputs.size(); }
const RuntimeAttrs* ExtendedKernelContext::GetAttrs() const { return &state_->attrs; }
const ge::char_t* ExtendedKernelContext::GetNodeType() const { return state_->op_type.c_str(); }
const ge::char_t* ExtendedKernelContext::GetNodeName() const { return state_->op_type.c_str(); }

const Tensor* ExtendedKernelContext::InputTensor(std::size_t index) const { return At(state_->inputs, index); }

const Tensor* ExtendedKernelContext::InputTensor(std::size_t ir_index, std::size_t relative_index) const {
  return InputTensor(Position(GetIrInputInstanceInfo(ir_index), relative_index));
}

Shape* InferShapeContext::GetOutputShape(std::size_t index) { return At(state_->inferred_shapes, index); }

ge::DataType InferDataTypeContext::GetOutputDataType(std::size_t index) const {
  const ge::DataType* type = At(state_->inferred_types, index);
  return type == nullptr ? ge::DT_UNDEFINED : *type;
}

ge::graphStatus InferDataTypeContext::SetOutputDataType(std::size_t index, ge::DataType data_type) {
  ge::DataType* type = At(state_->inferred_types, index);
  if (type == nullptr) return ge::GRAPH_FAILED;
  *type = data_type;
  return ge::GRAPH_SUCCESS;
}

const StorageShape* TilingContext::GetOutputShape(std::size_t index) const {
  return ShapeOf(At(state_->outputs, index));
}

ge::graphStatus TilingContext::SetTilingKey(std::uint64_t tiling_key) {
  state_->tiling_key = tiling_key;
  return ge::GRAPH_SUCCESS;
}

std::uint64_t TilingContext::GetTilingKey() const { return state_->tiling_key; }

ge::graphStatus TilingContext::SetBlockDim(std::uint32_t block_dim) {
  state_->block_dim = block_dim;
  return ge::GRAPH_SUCCESS;
}

std::uint32_t TilingContext::GetBlockDim() const { return state_->block_dim; }

ge::graphStatus TilingContext::SetScheduleMode(std::uint32_t schedule_mode) {
  state_->schedule_mode = schedule_mode;
  return ge::GRAPH_SUCCESS;
}

std::uint32_t TilingContext::GetScheduleMode() const { return state_->schedule_mode; }
TilingData* TilingContext::GetRawTilingData() { return &state_->tiling_data; }

std::size_t* TilingContext::GetWorkspaceSizes(std::size_t count) {
  if (state_->workspaces.SetSize(count) != ge::GRAPH_SUCCESS) return nullptr;
  return state_->workspaces.MutableData();
}

std::size_t TilingContext::GetWorkspaceNum() const { return state_->workspaces.GetSize(); }
fe::PlatFormInfos* TilingContext::GetPlatformInfo() const { return &state_->platform; }

// Deterministic mode is not modelled: every kernel runs in program order.
std::int32_t TilingContext::GetDeterministic() const { return 0; }

}  // namespace gert
