// The arguments of an attention call as CANN hands them to inference and tiling functions.
#pragma once

#include <string>

#include "../common/describe.h"
#include "base/err_msg.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "exe_graph/runtime/tiling_context.h"

namespace npufa {

constexpr DType FromGe(ge::DataType type) {
  switch (type) {
    case ge::DT_DOUBLE: return DType::kFloat64;
    case ge::DT_FLOAT: return DType::kFloat32;
    case ge::DT_FLOAT16: return DType::kFloat16;
    case ge::DT_BF16: return DType::kBFloat16;
    case ge::DT_INT8: return DType::kInt8;
    case ge::DT_UINT8: return DType::kUInt8;
    case ge::DT_BOOL: return DType::kBool;
    case ge::DT_INT16: return DType::kInt16;
    case ge::DT_UINT16: return DType::kUInt16;
    case ge::DT_INT32: return DType::kInt32;
    case ge::DT_UINT32: return DType::kUInt32;
    case ge::DT_INT64: return DType::kInt64;
    case ge::DT_UINT64: return DType::kUInt64;
    case ge::DT_FLOAT8_E4M3FN: return DType::kFloat8E4M3;
    case ge::DT_FLOAT8_E5M2: return DType::kFloat8E5M2;
    default: return DType::kOther;
  }
}

inline const gert::Shape& OriginShape(const gert::Shape& shape) { return shape; }
inline const gert::Shape& OriginShape(const gert::StorageShape& shape) { return shape.GetOriginShape(); }

// Reads inputs and attributes by their position in the operator's definition. Context: InferShapeContext or
// TilingContext.
template <class Context>
class ContextReader {
 public:
  ContextReader(const Context& context, const char* op) : context_(context), op_(op) {}

  // Undefined for an absent optional input.
  TensorDesc<std::int64_t> Tensor(std::size_t index) const { return Tensor(index, 0); }

  // The tensors of a dynamic input.
  std::vector<TensorDesc<std::int64_t>> Tensors(std::size_t index) const {
    const auto* instances = context_.GetIrInputInstanceInfo(index);
    std::vector<TensorDesc<std::int64_t>> tensors(instances == nullptr ? 0 : instances->GetInstanceNum());
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i] = Tensor(index, i);
    return tensors;
  }

  // Values of an int64 input; nothing where it is absent. While a graph is compiled its values may be unknown.
  OptionalList<std::int64_t> List(std::size_t index) const {
    const gert::Tensor* tensor = context_.GetOptionalInputTensor(index);
    if (tensor == nullptr) return {};
    const std::int64_t* values = tensor->template GetData<std::int64_t>();
    if (values == nullptr && tensor->GetShapeSize() != 0) return {};
    return std::vector<std::int64_t>(values, values + tensor->GetShapeSize());
  }

  std::int64_t Integer(std::size_t index, const char* name) const {
    return *Required(context_.GetAttrs()->GetInt(index), name);
  }
  float Number(std::size_t index, const char* name) const {
    return *Required(context_.GetAttrs()->GetFloat(index), name);
  }
  bool Flag(std::size_t index, const char* name) const { return *Required(context_.GetAttrs()->GetBool(index), name); }
  std::string Text(std::size_t index, const char* name) const {
    return Required(context_.GetAttrs()->GetStr(index), name);
  }

 private:
  TensorDesc<std::int64_t> Tensor(std::size_t index, std::size_t instance) const {
    const auto* desc = context_.GetDynamicInputDesc(index, instance);
    const auto* shape = context_.GetDynamicInputShape(index, instance);
    if (desc == nullptr || shape == nullptr) return {};
    TensorDesc<std::int64_t> tensor{true, FromGe(desc->GetDataType()), {}};
    const gert::Shape& sizes = OriginShape(*shape);
    for (std::size_t axis = 0; axis < sizes.GetDimNum(); ++axis) tensor.sizes.push_back(sizes.GetDim(axis));
    return tensor;
  }

  template <class T>
  const T* Required(const T* value, const char* name) const {
    if (value == nullptr) Fail(op_, name, "is missing", "None", "an attribute of the operator");
    return value;
  }

  const Context& context_;
  const char* op_;
};

// Runs the body of an inference or tiling function; a failure leaves its message for aclGetRecentErrMsg().
template <class Body>
ge::graphStatus ReportingErrors(const Body& body) {
  try {
    body();
    return ge::GRAPH_SUCCESS;
  } catch (const std::exception& error) {
    if (ge::ReportUserDefinedErrMsg != nullptr) ge::ReportUserDefinedErrMsg("EU0001", "%s", error.what());
    return ge::GRAPH_FAILED;
  }
}

}  // namespace npufa
