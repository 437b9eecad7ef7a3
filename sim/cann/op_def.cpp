#include "register/op_def.h"

#include <algorithm>
#include <utility>

namespace ops {

namespace {

OpParamDef& FindOrAdd(std::list<OpParamDef>& params, const char* name) {
  const auto found = std::find_if(params.begin(), params.end(), [&](const OpParamDef& p) { return p.name == name; });
  return found != params.end() ? *found : params.emplace_back(name);
}

}  // namespace

OpParamDef& OpParamDef::ParamType(Option param_type) {
  type = param_type;
  return *this;
}

OpParamDef& OpParamDef::DataType(std::vector<ge::DataType> list) {
  types = std::move(list);
  any_type = false;
  return *this;
}

OpParamDef& OpParamDef::DataTypeList(std::vector<ge::DataType> list) {
  types = std::move(list);
  any_type = true;
  return *this;
}

// Which compiled kernel serves which types: here there is one for all.
OpParamDef& OpParamDef::DataTypeForBinQuery(std::vector<ge::DataType>) { return *this; }

OpParamDef& OpParamDef::Format(std::vector<ge::Format> list) {
  formats = std::move(list);
  any_format = false;
  return *this;
}

OpParamDef& OpParamDef::FormatList(std::vector<ge::Format> list) {
  formats = std::move(list);
  any_format = true;
  return *this;
}

// Only graph compilation with unknown sizes asks for these.
OpParamDef& OpParamDef::UnknownShapeFormat(std::vector<ge::Format>) { return *this; }

OpParamDef& OpParamDef::ValueDepend(Option option) {
  value_depend = option == REQUIRED || option == OPTIONAL ? option : IGNORE;
  return *this;
}

OpParamDef& OpParamDef::IgnoreContiguous() {
  ignore_contiguous = true;
  return *this;
}

OpParamDef& OpParamDef::AutoContiguous() {
  auto_contiguous = true;
  return *this;
}

OpAttrDef& OpAttrDef::AttrType(Option attr_type) {
  required = attr_type == REQUIRED;
  return *this;
}

OpAttrDef& OpAttrDef::Set(Kind new_kind) {
  kind = new_kind;
  default_value.reset();
  return *this;
}

OpAttrDef& OpAttrDef::Set(Kind new_kind, Value value) {
  kind = new_kind;
  default_value = std::move(value);
  return *this;
}

OpParamDef& OpAICoreConfig::Input(const char* name) { return FindOrAdd(inputs, name); }
OpParamDef& OpAICoreConfig::Output(const char* name) { return FindOrAdd(outputs, name); }
OpAICoreConfig& OpAICoreConfig::DynamicCompileStaticFlag(bool flag) {
  return SetFlag("dynamicCompileStatic.flag", flag);
}
OpAICoreConfig& OpAICoreConfig::DynamicFormatFlag(bool flag) { return SetFlag("dynamicFormat.flag", flag); }
OpAICoreConfig& OpAICoreConfig::DynamicRankSupportFlag(bool flag) { return SetFlag("dynamicRankSupport.flag", flag); }
OpAICoreConfig& OpAICoreConfig::DynamicShapeSupportFlag(bool flag) { return SetFlag("dynamicShapeSupport.flag", flag); }
OpAICoreConfig& OpAICoreConfig::NeedCheckSupportFlag(bool flag) { return SetFlag("needCheckSupport.flag", flag); }
OpAICoreConfig& OpAICoreConfig::PrecisionReduceFlag(bool flag) { return SetFlag("precision_reduce.flag", flag); }

OpAICoreConfig& OpAICoreConfig::ExtendCfgInfo(const char* key, const char* value) {
  settings[key] = value;
  return *this;
}

OpAICoreConfig& OpAICoreConfig::SetFlag(const char* key, bool flag) {
  return ExtendCfgInfo(key, flag ? "true" : "false");
}

OpAICoreDef& OpAICoreDef::SetTiling(gert::OpImplRegisterV2::TilingKernelFunc function) {
  tiling = function;
  return *this;
}

OpAICoreDef& OpAICoreDef::AddConfig(const char* soc) {
  configs[soc];
  return *this;
}

OpAICoreDef& OpAICoreDef::AddConfig(const char* soc, OpAICoreConfig& config) {
  configs[soc] = config;
  return *this;
}

OpParamDef& OpDef::Input(const char* name) { return FindOrAdd(inputs, name); }
OpParamDef& OpDef::Output(const char* name) { return FindOrAdd(outputs, name); }

OpAttrDef& OpDef::Attr(const char* name) {
  const auto found = std::find_if(attrs.begin(), attrs.end(), [&](const OpAttrDef& a) { return a.name == name; });
  return found != attrs.end() ? *found : attrs.emplace_back(name);
}

OpDef& OpDef::SetInferShape(gert::OpImplRegisterV2::InferShapeKernelFunc function) {
  infer_shape = function;
  return *this;
}

OpDef& OpDef::SetInferDataType(gert::OpImplRegisterV2::InferDataTypeKernelFunc function) {
  infer_data_type = function;
  return *this;
}

OpDef& OpDef::FormatMatchMode(FormatCheckOption option) {
  format_check = option;
  return *this;
}

}  // namespace ops
