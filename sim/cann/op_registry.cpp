#include "op_registry.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "op_combinations.h"
#include "register/op_def_factory.h"

namespace npufa_sim {

namespace {

struct Functions {
  gert::OpImplRegisterV2::InferShapeKernelFunc infer_shape = nullptr;
  gert::OpImplRegisterV2::InferDataTypeKernelFunc infer_data_type = nullptr;
  gert::OpImplRegisterV2::TilingKernelFunc tiling = nullptr;
};

// Registered while libraries load; definitions are made at their first use, when all functions are there.
struct Registry {
  std::mutex mutex;
  std::map<std::string, ops::OpDefCreator> creators;
  std::map<std::string, Functions> functions;
  std::map<std::string, std::unique_ptr<ops::OpDef>> definitions;

  static Registry& Get() {
    static Registry* registry = new Registry;  // never destroyed: libraries may outlive it
    return *registry;
  }
};

std::string Where(const ops::OpDef& def, const std::string& param) { return def.type + ": " + param + ' '; }

void CheckParam(const ops::OpDef& def, const ops::OpParamDef& param) {
  if (param.types.empty()) throw std::invalid_argument(Where(def, param.name) + "has no DataType");
  if (param.ignore_contiguous && param.auto_contiguous) {
    throw std::invalid_argument(Where(def, param.name) + "is both AutoContiguous and IgnoreContiguous");
  }
  const auto readable = [](ge::DataType t) { return t == ge::DT_INT64 || t == ge::DT_FLOAT || t == ge::DT_BOOL; };
  const bool one_type =
      std::all_of(param.types.begin(), param.types.end(), [&](ge::DataType t) { return t == param.types[0]; });
  if (param.value_depend && !(one_type && readable(param.types[0]))) {
    throw std::invalid_argument(Where(def, param.name) + "is ValueDepend and not all int64, all float or all bool");
  }
}

}  // namespace

const ops::OpParamDef& ForChip(const ops::OpParamDef& param, const std::list<ops::OpParamDef>& of_chip) {
  const auto found = std::find_if(of_chip.begin(), of_chip.end(), [&](const auto& p) { return p.name == param.name; });
  return found == of_chip.end() ? param : *found;
}

void CheckDefinition(const ops::OpDef& def) {
  if (def.outputs.empty()) throw std::invalid_argument(def.type + " has no output");
  if (def.aicore.configs.empty())
    throw std::invalid_argument(def.type + " supports no chip: AICore().AddConfig is missing");
  if (def.aicore.tiling == nullptr) throw std::invalid_argument(def.type + " has no tiling function");
  for (const auto& [soc, config] : def.aicore.configs) {
    std::vector<const ops::OpParamDef*> params;
    for (const ops::OpParamDef& input : def.inputs) params.push_back(&ForChip(input, config.inputs));
    for (const ops::OpParamDef& output : def.outputs) params.push_back(&ForChip(output, config.outputs));
    for (const ops::OpParamDef* param : params) CheckParam(def, *param);
    Combinations(def.type, params);
  }
  for (const ops::OpAttrDef& attr : def.attrs) {
    if (attr.kind == ops::OpAttrDef::Kind::kNone) throw std::invalid_argument(Where(def, attr.name) + "has no type");
    if (!attr.required && !attr.default_value)
      throw std::invalid_argument(Where(def, attr.name) + "has no default value");
  }
}

const ops::OpDef* FindOperator(const std::string& type) {
  Registry& registry = Registry::Get();
  const std::lock_guard lock(registry.mutex);
  const auto made = registry.definitions.find(type);
  if (made != registry.definitions.end()) return made->second.get();
  const auto creator = registry.creators.find(type);
  if (creator == registry.creators.end()) return nullptr;
  auto def = std::make_unique<ops::OpDef>(creator->second(type.c_str()));
  const Functions& functions = registry.functions[type];
  if (functions.infer_shape != nullptr) def->infer_shape = functions.infer_shape;
  if (functions.infer_data_type != nullptr) def->infer_data_type = functions.infer_data_type;
  if (functions.tiling != nullptr) def->aicore.tiling = functions.tiling;
  return (registry.definitions[type] = std::move(def)).get();
}

std::vector<std::string> OperatorTypes() {
  Registry& registry = Registry::Get();
  const std::lock_guard lock(registry.mutex);
  std::vector<std::string> types;
  for (const auto& [type, creator] : registry.creators) types.push_back(type);
  return types;
}

std::string KernelName(const std::string& type) {
  const auto upper = [&](std::size_t i) {
    return i < type.size() && std::isupper(static_cast<unsigned char>(type[i]));
  };
  const auto lower = [&](std::size_t i) {
    return i < type.size() && std::islower(static_cast<unsigned char>(type[i]));
  };
  std::string name;
  for (std::size_t i = 0; i < type.size(); ++i) {
    if (i > 0 && upper(i) && (!upper(i - 1) || lower(i + 1))) name += '_';
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(type[i])));
  }
  return name;
}

}  // namespace npufa_sim

namespace ops {

int OpDefFactory::OpDefRegister(const char* name, OpDefCreator creator) {
  auto& registry = npufa_sim::Registry::Get();
  const std::lock_guard lock(registry.mutex);
  registry.creators[name] = std::move(creator);
  registry.definitions.erase(name);
  return 0;
}

}  // namespace ops

namespace gert {

OpImplRegisterV2& OpImplRegisterV2::InferShape(InferShapeKernelFunc function) {
  auto& registry = npufa_sim::Registry::Get();
  const std::lock_guard lock(registry.mutex);
  registry.functions[op_type_].infer_shape = function;
  return *this;
}

OpImplRegisterV2& OpImplRegisterV2::InferDataType(InferDataTypeKernelFunc function) {
  auto& registry = npufa_sim::Registry::Get();
  const std::lock_guard lock(registry.mutex);
  registry.functions[op_type_].infer_data_type = function;
  return *this;
}

OpImplRegisterV2& OpImplRegisterV2::Tiling(TilingKernelFunc function, std::size_t) {
  auto& registry = npufa_sim::Registry::Get();
  const std::lock_guard lock(registry.mutex);
  registry.functions[op_type_].tiling = function;
  return *this;
}

}  // namespace gert
