#include "plain_operator.h"

#include "chip_configs.h"

namespace npufa {

namespace {

std::size_t IndexOf(const PlainOperator& parts, const char* input) {
  std::size_t index = 0;
  while (std::strcmp(parts.inputs.at(index).name, input) != 0) ++index;
  return index;
}

}  // namespace

Types Repeated(const Types& types, std::size_t times) {
  Types result;
  for (const ge::DataType type : types) result.insert(result.end(), times, type);
  return result;
}

Types Cycled(const Types& types, std::size_t times) {
  Types result;
  for (std::size_t i = 0; i < times; ++i) result.insert(result.end(), types.begin(), types.end());
  return result;
}

void Declare(const PlainOperator& parts, ops::OpDef* def) {
  for (const PlainInput& part : parts.inputs) {
    def->Input(part.name).ParamType(part.presence).DataType(part.types).FormatList({ge::FORMAT_ND}).AutoContiguous();
  }
  for (const PlainOutput& part : parts.outputs) {
    const Types& types = parts.inputs[IndexOf(parts, part.like)].types;
    def->Output(part.name).ParamType(ops::REQUIRED).DataType(types).FormatList({ge::FORMAT_ND});
  }
  for (const AttributePart& part : parts.attributes) DeclareAttribute(part, &def->Attr(part.name));
  AddChips(*def);
}

ge::graphStatus InferShapes(gert::InferShapeContext* context, const PlainOperator& parts) {
  for (std::size_t i = 0; i < parts.outputs.size(); ++i) {
    const PlainOutput& part = parts.outputs[i];
    const gert::Shape* like = context->GetDynamicInputShape(IndexOf(parts, part.like), 0);
    gert::Shape* output = context->GetOutputShape(i);
    if (like == nullptr || output == nullptr) return ge::GRAPH_FAILED;
    *output = *like;
    if (part.last == nullptr) continue;
    const gert::Shape* last = context->GetDynamicInputShape(IndexOf(parts, part.last), 0);
    if (last == nullptr) return ge::GRAPH_FAILED;
    output->SetDim(output->GetDimNum() - 1, last->GetDim(last->GetDimNum() - 1));
  }
  return ge::GRAPH_SUCCESS;
}

ge::graphStatus InferDataTypes(gert::InferDataTypeContext* context, const PlainOperator& parts) {
  for (std::size_t i = 0; i < parts.outputs.size(); ++i) {
    const ge::DataType type = context->GetDynamicInputDataType(IndexOf(parts, parts.outputs[i].like), 0);
    if (context->SetOutputDataType(i, type) != ge::GRAPH_SUCCESS) return ge::GRAPH_FAILED;
  }
  return ge::GRAPH_SUCCESS;
}

}  // namespace npufa
