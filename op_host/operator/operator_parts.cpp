#include "operator_parts.h"

#include <type_traits>

#include "chip_configs.h"

namespace npufa {

namespace {

ge::DataType TypeOf(const TypeColumn& column, Role role) {
  switch (role) {
    case Role::kQuery: return column.query;
    case Role::kCache: return column.cache;
    case Role::kBias: return column.bias;
    case Role::kOutput: return column.output;
    case Role::kBytes: return ge::DT_UINT8;
    case Role::kFloats: return ge::DT_FLOAT;
    case Role::kIndices: return ge::DT_INT32;
    case Role::kInteger:
    case Role::kList: return ge::DT_INT64;
  }
  return ge::DT_UNDEFINED;
}

// Columns for every tensor: CANN multiplies DataTypeLists with each other when it builds the package.
void SetTypes(const OperatorParts& parts, Role role, ops::OpParamDef* tensor) {
  std::vector<ge::DataType> types;
  for (const TypeColumn& column : parts.types) types.push_back(TypeOf(column, role));
  tensor->DataType(types)
      .DataTypeForBinQuery(std::vector<ge::DataType>(types.size(), types[0]))
      .FormatList({ge::FORMAT_ND});
}

}  // namespace

void DeclareAttribute(const AttributePart& part, ops::OpAttrDef* attribute) {
  attribute->AttrType(part.presence);
  std::visit(
      [attribute](auto fallback) {
        using T = decltype(fallback);
        if constexpr (std::is_same_v<T, bool>) {
          attribute->Bool(fallback);
        } else if constexpr (std::is_same_v<T, float>) {
          attribute->Float(fallback);
        } else if constexpr (std::is_same_v<T, const char*>) {
          attribute->String(fallback);
        } else {
          attribute->Int(fallback);
        }
      },
      part.fallback);
}

std::vector<TypeColumn> TrainingTypes() {
  std::vector<TypeColumn> columns;
  for (const ge::DataType type : {ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT}) {
    columns.push_back({type, type, type, type});
    if (type != ge::DT_FLOAT) columns.push_back({type, type, ge::DT_FLOAT, type});  // slopes
  }
  return columns;
}

std::vector<TypeColumn> InferenceTypes(bool quantised_cache) {
  std::vector<TypeColumn> columns;
  const auto add = [&](ge::DataType query, ge::DataType cache) {
    const ge::DataType type = query == ge::DT_INT8 ? ge::DT_FLOAT16 : query;
    for (const ge::DataType output : {type, ge::DT_INT8}) columns.push_back({query, cache, type, output});
  };
  for (const ge::DataType query : {ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT}) {
    add(query, query);
    if (!quantised_cache) continue;
    for (const ge::DataType cache : {ge::DT_INT8, ge::DT_INT32, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E5M2}) {
      add(query, cache);  // int32: eight int4 each
    }
  }
  add(ge::DT_INT8, ge::DT_INT8);
  return columns;
}

std::vector<AttributePart> TrainingAttributes() {
  return {{"scale_value", 1.0f},
          {"keep_prob", 1.0f},
          {"pre_tokens", 2147483647},
          {"next_tokens", 2147483647},
          {"head_num", 1, ops::REQUIRED},
          {"input_layout", "BSH", ops::REQUIRED},
          {"inner_precise", 0},
          {"sparse_mode", 0},
          {"pse_type", 1},
          {"softmax_layout", ""},
          {"softcap", 0.0f},
          {"batch_invariant", false}};
}

void Declare(const OperatorParts& parts, ops::OpDef* def) {
  for (const InputPart& part : parts.inputs) {
    ops::OpParamDef& input = def->Input(part.name).ParamType(part.presence);
    SetTypes(parts, part.role, &input);
    if (part.role == Role::kList) {
      input.ValueDepend(ops::OPTIONAL);
    } else {
      input.AutoContiguous();
    }
  }
  for (const OutputPart& part : parts.outputs) {
    SetTypes(parts, part.role, &def->Output(part.name).ParamType(ops::REQUIRED));
  }
  for (const AttributePart& part : parts.attributes) DeclareAttribute(part, &def->Attr(part.name));
  AddChips(*def);
}

}  // namespace npufa
