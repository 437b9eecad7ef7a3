#include "opbuild_json.h"

#include <sstream>
#include <stdexcept>
#include <type_traits>

#include "chip/json_text.h"
#include "data_types.h"
#include "op_registry.h"

namespace npufa_sim {

namespace {

using Kind = ops::OpAttrDef::Kind;

const char* PresenceName(ops::Option presence) {
  switch (presence) {
    case ops::OPTIONAL: return "optional";
    case ops::REQUIRED: return "required";
    case ops::DYNAMIC: return "dynamic";
    default: throw std::invalid_argument("a tensor is neither optional, required nor dynamic");
  }
}

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kBool: return "Bool";
    case Kind::kFloat: return "Float";
    case Kind::kInt: return "Int";
    case Kind::kString: return "Str";
    case Kind::kListBool: return "ListBool";
    case Kind::kListFloat: return "ListFloat";
    case Kind::kListInt: return "ListInt";
    case Kind::kNone: break;
  }
  throw std::invalid_argument("an attribute has no type");
}

template <class Items, class Function>
std::string List(const Items& items, const Function& text) {
  std::string out = "[";
  for (const auto& item : items) out += (out.size() > 1 ? ", " : "") + text(item);
  return out + "]";
}

template <class T>
std::string Text(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return JsonString(value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    std::ostringstream text;
    text.precision(9);
    text << value;
    return text.str();
  } else {
    return List(value, [](typename T::value_type item) { return Text(item); });
  }
}

std::string Tensor(const ops::OpParamDef& tensor) {
  return "{\"name\": " + JsonString(tensor.name) + ", \"presence\": \"" + PresenceName(tensor.type) +
         "\", \"types\": " + List(tensor.types, [](ge::DataType type) { return JsonString(NameOf(type)); }) +
         ", \"value_depend\": " +
         (tensor.value_depend == ops::IGNORE ? "null" : JsonString(PresenceName(tensor.value_depend))) + "}";
}

std::string Attribute(const ops::OpAttrDef& attr) {
  std::string text = "{\"name\": " + JsonString(attr.name) + ", \"kind\": \"" + KindName(attr.kind) +
                     "\", \"required\": " + Text(attr.required);
  if (!attr.required && attr.default_value) {
    text += ", \"default\": " + std::visit([](const auto& value) { return Text(value); }, *attr.default_value);
  }
  return text + "}";
}

}  // namespace

std::string DefinitionsAsJson() {
  std::string text = "{";
  for (const std::string& type : OperatorTypes()) {
    const ops::OpDef& def = *FindOperator(type);
    text += (text.size() > 1 ? ",\n" : "\n") + JsonString(type) + ": {\n  \"inputs\": " + List(def.inputs, Tensor) +
            ",\n  \"attrs\": " + List(def.attrs, Attribute) + ",\n  \"outputs\": " + List(def.outputs, Tensor) + "}";
  }
  return text + "\n}\n";
}

}  // namespace npufa_sim
