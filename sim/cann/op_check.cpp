#include "op_check.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "aclnn_error.h"
#include "data_types.h"
#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "op_combinations.h"
#include "op_registry.h"

namespace npufa_sim {

namespace {

template <class Values>
std::string Join(const Values& values) {
  std::ostringstream text;
  const char* comma = "";
  for (const auto& value : values) {
    text << comma << value;
    comma = ", ";
  }
  return text.str();
}

std::string Show(const gert::Shape& shape) {
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; i < shape.GetDimNum(); ++i) sizes.push_back(shape[i]);
  return '[' + Join(sizes) + ']';
}

bool Contains(const std::vector<ge::DataType>& types, ge::DataType type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

// A plain format stands for every order of the axes unless the operator wants formats to match exactly.
bool FormatMatches(const ops::OpDef& def, ge::Format wanted, ge::Format got) {
  const bool strict = def.format_check == ops::FormatCheckOption::STRICT;
  return wanted == got || (!strict && wanted == ge::FORMAT_ND && IsPlain(got));
}

// `rows`: all combinations; the parameter is the one of this index.
void CheckAlone(const ops::OpDef& def, const CallParam& param, const std::vector<Combination>& rows,
                std::size_t index) {
  for (const TensorView& tensor : param.tensors) {
    if (!Contains(param.def->types, tensor.data_type)) {
      std::vector<std::string> names;
      for (const ge::DataType type : param.def->types) {
        if (std::find(names.begin(), names.end(), NameOf(type)) == names.end()) names.push_back(NameOf(type));
      }
      throw AclnnError(kParamInvalid, CamelCase(param.def->name) + " has type " + NameOf(tensor.data_type) + "; " +
                                          def.type + " supports " + Join(names));
    }
    const bool known = std::any_of(rows.begin(), rows.end(), [&](const Combination& row) {
      return FormatMatches(def, row[index].format, tensor.format);
    });
    if (!known) {
      throw AclnnError(kParamInvalid, CamelCase(param.def->name) + " has format " + NameOf(tensor.format) + ", which " +
                                          def.type + " does not support");
    }
  }
}

bool Fits(const ops::OpDef& def, const CallParam& param, const TypeAndFormat& wanted) {
  return std::all_of(param.tensors.begin(), param.tensors.end(), [&](const TensorView& tensor) {
    return wanted.type == tensor.data_type && FormatMatches(def, wanted.format, tensor.format);
  });
}

std::string ShowTypes(const std::vector<const CallParam*>& params) {
  std::vector<std::string> texts;
  for (const CallParam* param : params) {
    if (param->tensors.empty()) continue;
    texts.push_back(CamelCase(param->def->name) + ' ' + NameOf(param->tensors[0].data_type));
  }
  return Join(texts);
}

}  // namespace

std::string CamelCase(const std::string& name) {
  std::string camel;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto letter = static_cast<unsigned char>(name[i]);
    if (i == 0) {
      camel += static_cast<char>(std::tolower(letter));
    } else if (letter == '_' && i + 1 < name.size()) {
      camel += static_cast<char>(std::toupper(static_cast<unsigned char>(name[++i])));
    } else {
      camel += static_cast<char>(letter);
    }
  }
  return camel;
}

std::string ConfigName(const ChipDescription& chip) {
  std::string name = chip.short_soc_version;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

void CheckPresent(const std::vector<CallParam>& params) {
  for (const CallParam& param : params) {
    if (!param.present && param.def->type != ops::OPTIONAL) {
      throw AclnnError(kParamNullptr, CamelCase(param.def->name) + " is null; it is required");
    }
  }
}

void ResolveForChip(const ops::OpDef& def, const ChipDescription& chip, std::vector<CallParam>* inputs,
                    std::vector<CallParam>* outputs) {
  const auto config = def.aicore.configs.find(ConfigName(chip));
  if (config == def.aicore.configs.end()) {
    throw AclnnError(kFindKernelError, def.type + " has no kernel for " + ConfigName(chip) + " (" + chip.name + ")");
  }
  for (CallParam& input : *inputs) input.def = &ForChip(*input.def, config->second.inputs);
  for (CallParam& output : *outputs) output.def = &ForChip(*output.def, config->second.outputs);
}

void CheckSupported(const ops::OpDef& def, const std::vector<CallParam>& inputs,
                    const std::vector<CallParam>& outputs) {
  std::vector<const CallParam*> params;
  for (const CallParam& input : inputs) params.push_back(&input);
  for (const CallParam& output : outputs) params.push_back(&output);
  std::vector<const ops::OpParamDef*> defs;
  for (const CallParam* param : params) defs.push_back(param->def);
  const std::vector<Combination> rows = Combinations(def.type, defs);
  for (std::size_t i = 0; i < params.size(); ++i) CheckAlone(def, *params[i], rows, i);
  for (const Combination& row : rows) {
    if (std::equal(params.begin(), params.end(), row.begin(),
                   [&](const CallParam* param, const TypeAndFormat& wanted) { return Fits(def, *param, wanted); })) {
      return;
    }
  }
  throw AclnnError(kParamInvalid, def.type + " does not support these types together: " + ShowTypes(params));
}

void CheckInferred(const ops::OpDef& def, CallState* state, const std::vector<CallParam>& outputs) {
  state->inferred_shapes.resize(state->outputs.size());
  state->inferred_types.assign(state->outputs.size(), ge::DT_UNDEFINED);
  if (def.infer_shape != nullptr) {
    gert::InferShapeContext context(state);
    if (def.infer_shape(&context) != ge::GRAPH_SUCCESS) throw AclnnError(kInferShapeError, "shape inference failed");
  }
  if (def.infer_data_type != nullptr) {
    gert::InferDataTypeContext context(state);
    if (def.infer_data_type(&context) != ge::GRAPH_SUCCESS) throw AclnnError(kInferShapeError, "type inference failed");
  }
  std::size_t position = 0;
  for (const CallParam& output : outputs) {
    for (std::size_t i = 0; i < output.tensors.size(); ++i, ++position) {
      const gert::Tensor& tensor = state->outputs[position];
      const std::string name = CamelCase(output.def->name);
      if (def.infer_shape != nullptr && tensor.GetOriginShape() != state->inferred_shapes[position]) {
        throw AclnnError(kParamInvalid, name + " has sizes " + Show(tensor.GetOriginShape()) + "; expected " +
                                            Show(state->inferred_shapes[position]));
      }
      if (def.infer_data_type != nullptr && tensor.GetDataType() != state->inferred_types[position]) {
        throw AclnnError(kParamInvalid, name + " has type " + NameOf(tensor.GetDataType()) + "; expected " +
                                            NameOf(state->inferred_types[position]));
      }
    }
  }
}

}  // namespace npufa_sim
