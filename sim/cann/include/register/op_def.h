// The definition of an operator: inputs, outputs, attributes, what each chip supports, and the functions that belong to
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "graph/ascend_string.h"
#include "graph/types.h"
#include "register/op_impl_registry.h"

namespace ops {

enum Option { IGNORE = 0, OPTIONAL = 1, REQUIRED = 2, DYNAMIC = 3, VIRTUAL = 4 };
enum class FormatCheckOption : std::uint32_t { DEFAULT = 0, STRICT = 1, MAX };

// An input or output. Lists given by DataType and Format are read together: entry i of every parameter of the operator
// makes one supported combination. Entries of DataTypeList and FormatList go with every combination.
class OpParamDef {
 public:
  explicit OpParamDef(const char* name) : name(name) {}

  OpParamDef& ParamType(Option param_type);
  OpParamDef& DataType(std::vector<ge::DataType> types);
  OpParamDef& DataTypeList(std::vector<ge::DataType> types);
  OpParamDef& DataTypeForBinQuery(std::vector<ge::DataType> types);
  OpParamDef& Format(std::vector<ge::Format> formats);
  OpParamDef& FormatList(std::vector<ge::Format> formats);
  OpParamDef& UnknownShapeFormat(std::vector<ge::Format> formats);
  OpParamDef& ValueDepend(Option value_depend);
  OpParamDef& IgnoreContiguous();
  OpParamDef& AutoContiguous();

  // Read by the simulator; operators have no use for them.
  std::string name;
  Option type = REQUIRED;
  std::vector<ge::DataType> types;
  std::vector<ge::Format> formats;
  bool any_type = false, any_format = false;  // given as a list that goes with every combination
  Option value_depend = IGNORE;
  bool ignore_contiguous = false, auto_contiguous = false;
};

class OpAttrDef {
 public:
  enum class Kind { kBool, kFloat, kInt, kString, kListBool, kListFloat, kListInt, kNone };
  using Value = std::variant<bool, float, std::int64_t, std::string, std::vector<bool>, std::vector<float>,
                             std::vector<std::int64_t>>;

  explicit OpAttrDef(const char* name) : name(name) {}

  OpAttrDef& AttrType(Option attr_type);
  OpAttrDef& Bool() { return Set(Kind::kBool); }
  OpAttrDef& Bool(bool value) { return Set(Kind::kBool, value); }
  OpAttrDef& Float() { return Set(Kind::kFloat); }
  OpAttrDef& Float(float value) { return Set(Kind::kFloat, value); }
  OpAttrDef& Int() { return Set(Kind::kInt); }
  OpAttrDef& Int(std::int64_t value) { return Set(Kind::kInt, value); }
  OpAttrDef& String() { return Set(Kind::kString); }
  OpAttrDef& String(const char* value) { return Set(Kind::kString, std::string(value)); }
  OpAttrDef& ListBool() { return Set(Kind::kListBool); }
  OpAttrDef& ListBool(std::vector<bool> value) { return Set(Kind::kListBool, value); }
  OpAttrDef& ListFloat() { return Set(Kind::kListFloat); }
  OpAttrDef& ListFloat(std::vector<float> value) { return Set(Kind::kListFloat, value); }
  OpAttrDef& ListInt() { return Set(Kind::kListInt); }
  OpAttrDef& ListInt(std::vector<std::int64_t> value) { return Set(Kind::kListInt, value); }
  ge::AscendString GetName() const { return name.c_str(); }
  bool IsRequired() const { return required; }

  // Read by the simulator.
  std::string name;
  bool required = true;
  Kind kind = Kind::kNone;
  std::optional<Value> default_value;

 private:
  OpAttrDef& Set(Kind new_kind);
  OpAttrDef& Set(Kind new_kind, Value value);
};

// What one chip supports, where it differs from the definition.
class OpAICoreConfig {
 public:
  OpParamDef& Input(const char* name);
  OpParamDef& Output(const char* name);
  OpAICoreConfig& DynamicCompileStaticFlag(bool flag);
  OpAICoreConfig& DynamicFormatFlag(bool flag);
  OpAICoreConfig& DynamicRankSupportFlag(bool flag);
  OpAICoreConfig& DynamicShapeSupportFlag(bool flag);
  OpAICoreConfig& NeedCheckSupportFlag(bool flag);
  OpAICoreConfig& PrecisionReduceFlag(bool flag);
  OpAICoreConfig& ExtendCfgInfo(const char* key, const char* value);

  // Read by the simulator.
  std::list<OpParamDef> inputs, outputs;  // lists: references to elements outlive the next one
  std::map<std::string, std::string> settings;

 private:
  OpAICoreConfig& SetFlag(const char* key, bool flag);
};

class OpAICoreDef {
 public:
  OpAICoreDef& SetTiling(gert::OpImplRegisterV2::TilingKernelFunc function);
  OpAICoreDef& AddConfig(const char* soc);
  OpAICoreDef& AddConfig(const char* soc, OpAICoreConfig& config);

  // Read by the simulator.
  gert::OpImplRegisterV2::TilingKernelFunc tiling = nullptr;
  std::map<std::string, OpAICoreConfig> configs;
};

class OpDef {
 public:
  explicit OpDef(const char* type) : type(type) {}

  OpParamDef& Input(const char* name);
  OpParamDef& Output(const char* name);
  OpAttrDef& Attr(const char* name);
  OpDef& SetInferShape(gert::OpImplRegisterV2::InferShapeKernelFunc function);
  OpDef& SetInferDataType(gert::OpImplRegisterV2::InferDataTypeKernelFunc function);
  OpAICoreDef& AICore() { return aicore; }
  OpDef& FormatMatchMode(FormatCheckOption option);

  // Read by the simulator.
  std::string type;
  std::list<OpParamDef> inputs, outputs;
  std::list<OpAttrDef> attrs;
  OpAICoreDef aicore;
  gert::OpImplRegisterV2::InferShapeKernelFunc infer_shape = nullptr;
  gert::OpImplRegisterV2::InferDataTypeKernelFunc infer_data_type = nullptr;
  FormatCheckOption format_check = FormatCheckOption::DEFAULT;
};

}  // namespace ops
