#include "op_call.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "aclnn_error.h"
#include "contiguous_copies.h"
#include "exe_graph/runtime/tiling_context.h"
#include "op_check.h"
#include "op_executor.h"
#include "op_registry.h"
#include "torch/runtime.h"

namespace npufa_sim {

namespace {

using Value = gert::RuntimeAttrs::Value;

gert::Shape ShapeOf(const TensorView& view) {
  gert::Shape shape;
  for (const std::int64_t size : view.sizes) shape.AppendDim(size);
  return shape;
}

gert::StorageFormat FormatOf(ge::Format format) {
  gert::StorageFormat both;
  both.SetOriginFormat(format);
  both.SetStorageFormat(format);
  return both;
}

// Values can be read on the host only where the operator depends on them.
gert::Tensor ContextTensor(const TensorView& view) {
  gert::StorageShape shape;
  shape.MutableOriginShape() = ShapeOf(view);
  shape.MutableStorageShape() = ShapeOf(view);
  const bool on_host = view.host_data != nullptr;
  return gert::Tensor(shape, FormatOf(view.format), on_host ? gert::kOnHost : gert::kOnDeviceHbm, view.data_type,
                      on_host ? view.data : nullptr);
}

void FillTensors(const std::vector<CallParam>& params, std::vector<gert::Tensor>* tensors,
                 std::vector<gert::CompileTimeTensorDesc>* descs, std::vector<gert::AnchorInstanceInfo>* anchors) {
  for (const CallParam& param : params) {
    anchors->emplace_back(static_cast<std::uint32_t>(tensors->size()),
                          static_cast<std::uint32_t>(param.tensors.size()));
    for (const TensorView& view : param.tensors) {
      tensors->push_back(ContextTensor(view));
      descs->emplace_back(view.data_type, FormatOf(view.format));
    }
  }
}

void Tile(const ops::OpDef& def, CallState* state, OpExecutor* executor) {
  gert::TilingContext context(state);
  const std::uint32_t status = def.aicore.tiling(&context);
  if (status != ge::GRAPH_SUCCESS) throw AclnnError(kTilingError, "tiling failed, status " + std::to_string(status));
  const std::size_t bytes = state->tiling_data.GetDataSize();
  if (bytes > state->tiling_data.GetCapacity()) {
    throw AclnnError(kTilingError, "tiling data has " + std::to_string(bytes) + " bytes; there is room for " +
                                       std::to_string(state->tiling_data.GetCapacity()));
  }
  if (state->block_dim == 0) throw AclnnError(kTilingError, "tiling did not set the block dim");
  if (state->workspaces.GetSize() > 1) {
    throw AclnnError(kTilingError, "tiling asked for several workspaces; an Ascend C kernel has one");
  }
  const auto* data = static_cast<const unsigned char*>(state->tiling_data.GetData());
  executor->tiling_data.assign(data, data + bytes);
  executor->tiling_key = state->tiling_key;
  executor->block_dim = state->block_dim;
  executor->schedule_mode = state->schedule_mode;
  if (state->workspaces.GetSize() == 1) executor->workspace_bytes = state->workspaces.GetData()[0];
}

bool AllEmpty(const std::vector<CallParam>& outputs) {
  return std::all_of(outputs.begin(), outputs.end(), [](const CallParam& output) {
    return std::all_of(output.tensors.begin(), output.tensors.end(),
                       [](const TensorView& t) { return t.Count() == 0; });
  });
}

template <class T, class Array>
Value ListValue(const Array& array) {
  return gert::TypedContinuousVector<T>(reinterpret_cast<const T*>(array.values.data()), array.values.size());
}

Value DefaultOf(const ops::OpAttrDef& attr) {
  return std::visit(
      [](const auto& value) -> Value {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::vector<bool>>) {
          gert::TypedContinuousVector<bool> list(value.size());
          std::copy(value.begin(), value.end(), list.MutableData());
          list.SetSize(value.size());
          return list;
        } else if constexpr (std::is_same_v<T, std::vector<float>> || std::is_same_v<T, std::vector<std::int64_t>>) {
          return gert::TypedContinuousVector<typename T::value_type>(value.data(), value.size());
        } else {
          return value;
        }
      },
      *attr.default_value);
}

}  // namespace

OpCall::OpCall(const char* op_type, const char* api, const void* library)
    : def_(FindOperator(op_type)), api_(api), library_(library) {
  ForgetReports();
  if (def_ == nullptr) throw std::logic_error(std::string(op_type) + " is not registered");
}

void OpCall::Defer(aclnnStatus code, const std::string& message) {
  if (status_ != OK) return;
  status_ = code;
  message_ = message;
}

template <class Object>
void OpCall::AddTensor(std::vector<CallParam>* params, const std::list<ops::OpParamDef>& defs, const Object* object) {
  CallParam& param = params->emplace_back();
  param.def = &*std::next(defs.begin(), static_cast<std::ptrdiff_t>(params->size()) - 1);
  if (object == nullptr) return;
  param.present = true;
  try {
    const std::string name = CamelCase(param.def->name);
    if constexpr (std::is_same_v<Object, aclTensorList>) {
      for (const aclTensor* tensor : object->tensors) {
        if (tensor == nullptr) throw AclnnError(kParamNullptr, name + " has a null tensor");
        param.tensors.push_back(ViewOf(*tensor, name));
      }
    } else if constexpr (std::is_same_v<Object, aclTensor>) {
      param.tensors.push_back(ViewOf(*object, name));
    } else {
      param.tensors.push_back(ViewOf(*object));
    }
  } catch (const AclnnError& error) {
    Defer(error.Code(), error.what());
  } catch (const std::exception& error) {
    Defer(kInnerError, error.what());
  }
}

void OpCall::Input(const aclTensor* tensor) { AddTensor(&inputs_, def_->inputs, tensor); }
void OpCall::Input(const aclTensorList* list) { AddTensor(&inputs_, def_->inputs, list); }
void OpCall::Input(const aclIntArray* array) { AddTensor(&inputs_, def_->inputs, array); }
void OpCall::Input(const aclFloatArray* array) { AddTensor(&inputs_, def_->inputs, array); }
void OpCall::Input(const aclBoolArray* array) { AddTensor(&inputs_, def_->inputs, array); }
void OpCall::Output(const aclTensor* tensor) { AddTensor(&outputs_, def_->outputs, tensor); }
void OpCall::Output(const aclTensorList* list) { AddTensor(&outputs_, def_->outputs, list); }

void OpCall::AddAttr(const char* kind, bool given, Value value) {
  const ops::OpAttrDef& attr = *std::next(def_->attrs.begin(), static_cast<std::ptrdiff_t>(attrs_.size()));
  if (!given && attr.required) Defer(kParamNullptr, CamelCase(attr.name) + " is null; it is a required " + kind);
  attrs_.push_back(given || attr.required ? std::move(value) : DefaultOf(attr));
}

void OpCall::Attr(bool value) { AddAttr("bool", true, value); }
void OpCall::Attr(std::int64_t value) { AddAttr("integer", true, value); }
void OpCall::Attr(double value) { AddAttr("number", true, static_cast<float>(value)); }
void OpCall::Attr(const char* value) {
  AddAttr("string", value != nullptr, std::string(value == nullptr ? "" : value));
}

void OpCall::Attr(const aclIntArray* value) {
  AddAttr("list", value != nullptr, value == nullptr ? Value() : ListValue<std::int64_t>(*value));
}

void OpCall::Attr(const aclFloatArray* value) {
  AddAttr("list", value != nullptr, value == nullptr ? Value() : ListValue<float>(*value));
}

void OpCall::Attr(const aclBoolArray* value) {
  AddAttr("list", value != nullptr, value == nullptr ? Value() : ListValue<bool>(*value));
}

aclnnStatus OpCall::Prepare(std::uint64_t* workspace_size, aclOpExecutor** executor) {
  try {
    if (workspace_size == nullptr || executor == nullptr) {
      throw AclnnError(kParamNullptr, workspace_size == nullptr ? "workspaceSize is null" : "executor is null");
    }
    CheckPresent(inputs_);
    CheckPresent(outputs_);
    if (status_ != OK) throw AclnnError(status_, message_);
    const ChipDescription& chip = CurrentChip();
    ResolveForChip(*def_, chip, &inputs_, &outputs_);
    CheckSupported(*def_, inputs_, outputs_);
    CheckContiguous(inputs_, outputs_);

    CallState state(def_->type, chip, std::move(attrs_));
    FillTensors(inputs_, &state.inputs, &state.input_descs, &state.input_anchors);
    FillTensors(outputs_, &state.outputs, &state.output_descs, &state.output_anchors);
    CheckInferred(*def_, &state, outputs_);

    auto prepared = std::make_unique<OpExecutor>();
    prepared->kernel = KernelName(def_->type);
    prepared->empty = AllEmpty(outputs_);
    if (!prepared->empty) {
      Tile(*def_, &state, prepared.get());
      prepared->programs = LoadKernel(library_, prepared->kernel);
    }
    prepared->inputs = std::move(inputs_);
    prepared->outputs = std::move(outputs_);
    *workspace_size = prepared->AllWorkspaceBytes();
    *executor = prepared.release();
    return OK;
  } catch (const AclnnError& error) {
    return ReportApiError(error.Code(), api_.c_str(), error.what());
  } catch (const std::exception& error) {
    return ReportApiError(kInnerError, api_.c_str(), error.what());
  }
}

}  // namespace npufa_sim
