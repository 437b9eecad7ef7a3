// Writes the aclnn entry points and the definitions (op_defs.json) of all registered operators: opbuild <directory>.
// Linked with the operators' host code.
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <stdexcept>

#include "op_check.h"
#include "op_registry.h"
#include "opbuild_json.h"

namespace npufa_sim {

namespace {

struct Argument {
  std::string type, name;
};

struct EntryPoint {
  std::string op_type;
  std::vector<Argument> arguments;
  std::vector<std::string> statements;
};

bool SameName(const std::list<ops::OpParamDef>& params, const std::string& name) {
  for (const ops::OpParamDef& param : params) {
    if (param.name == name) return true;
  }
  return false;
}

std::string TensorType(const ops::OpParamDef& param, bool in_place) {
  if (param.value_depend) {
    switch (param.types[0]) {
      case ge::DT_FLOAT: return "const aclFloatArray*";
      case ge::DT_BOOL: return "const aclBoolArray*";
      default: return "const aclIntArray*";
    }
  }
  return std::string(in_place ? "" : "const ") + (param.type == ops::DYNAMIC ? "aclTensorList*" : "aclTensor*");
}

Argument AttrArgument(const ops::OpAttrDef& attr) {
  using Kind = ops::OpAttrDef::Kind;
  const std::string name = CamelCase(attr.name);
  const std::string pointer = name + (attr.required ? "" : "Optional");
  switch (attr.kind) {
    case Kind::kBool: return {"bool", name};
    case Kind::kFloat: return {"double", name};
    case Kind::kInt: return {"int64_t", name};
    case Kind::kString: return {"char*", pointer};
    case Kind::kListBool: return {"const aclBoolArray*", pointer};
    case Kind::kListFloat: return {"const aclFloatArray*", pointer};
    case Kind::kListInt: return {"const aclIntArray*", pointer};
    case Kind::kNone: break;
  }
  throw std::invalid_argument(attr.name + " has no type");
}

std::string WithPresence(const std::string& name, const ops::OpParamDef& param) {
  return name + (param.type == ops::OPTIONAL ? "Optional" : "");
}

// Inputs, attributes, outputs. An output in the place of an input (same name) is that input's argument, <name>Ref; an
// only output is `out`.
EntryPoint EntryPointOf(const ops::OpDef& def) {
  EntryPoint entry{def.type, {}, {}};
  for (const ops::OpParamDef& input : def.inputs) {
    const bool in_place = SameName(def.outputs, input.name);
    const std::string name = WithPresence(CamelCase(input.name) + (in_place ? "Ref" : ""), input);
    entry.arguments.push_back({TensorType(input, in_place), name});
    entry.statements.push_back("call.Input(" + entry.arguments.back().name + ");");
  }
  for (const ops::OpAttrDef& attr : def.attrs) {
    entry.arguments.push_back(AttrArgument(attr));
    entry.statements.push_back("call.Attr(" + entry.arguments.back().name + ");");
  }
  for (const ops::OpParamDef& output : def.outputs) {
    if (SameName(def.inputs, output.name)) {
      entry.statements.push_back("call.Output(" + WithPresence(CamelCase(output.name) + "Ref", output) + ");");
      continue;
    }
    const std::string name = def.outputs.size() == 1 ? "out" : CamelCase(output.name) + "Out";
    entry.arguments.push_back({TensorType(output, false), WithPresence(name, output)});
    entry.statements.push_back("call.Output(" + entry.arguments.back().name + ");");
  }
  std::set<std::string> names;
  for (const Argument& argument : entry.arguments) {
    if (!names.insert(argument.name).second)
      throw std::invalid_argument(def.type + " has two arguments " + argument.name);
  }
  return entry;
}

std::string Declarations(const EntryPoint& entry) {
  std::ostringstream text;
  text << "__attribute__((visibility(\"default\"))) aclnnStatus aclnn" << entry.op_type << "GetWorkspaceSize(\n";
  for (const Argument& argument : entry.arguments) text << "    " << argument.type << " " << argument.name << ",\n";
  text << "    uint64_t* workspaceSize,\n    aclOpExecutor** executor);\n"
       << "__attribute__((visibility(\"default\"))) aclnnStatus aclnn" << entry.op_type
       << "(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream);\n";
  return text.str();
}

std::string Definitions(const EntryPoint& entry) {
  const std::string api = "aclnn" + entry.op_type;
  std::ostringstream text;
  text << "aclnnStatus " << api << "GetWorkspaceSize(\n";
  for (const Argument& argument : entry.arguments) text << "    " << argument.type << " " << argument.name << ",\n";
  text << "    uint64_t* workspaceSize,\n    aclOpExecutor** executor) {\n"
       << "  npufa_sim::OpCall call(\"" << entry.op_type << "\", __func__, reinterpret_cast<const void*>(&" << api
       << "));\n";
  for (const std::string& statement : entry.statements) text << "  " << statement << "\n";
  text << "  return call.Prepare(workspaceSize, executor);\n}\n\n"
       << "aclnnStatus " << api
       << "(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) {\n"
       << "  return npufa_sim::RunExecutor(__func__, workspace, workspaceSize, executor, stream);\n}\n";
  return text.str();
}

void Write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file);
  if (!(out << text << std::flush)) throw std::runtime_error("cannot write " + file.string());
}

void Generate(const std::filesystem::path& directory) {
  std::string header =
      "// Generated from the operators' definitions.\n#pragma once\n\n#include \"aclnn/acl_meta.h\"\n\nextern \"C\" "
      "{\n";
  std::string source =
      "// Generated from the operators' definitions.\n#include \"aclnn_ops.h\"\n\n#include \"cann/op_call.h\"\n";
  for (const std::string& type : OperatorTypes()) {
    const ops::OpDef& def = *FindOperator(type);
    CheckDefinition(def);
    const EntryPoint entry = EntryPointOf(def);
    header += "\n" + Declarations(entry);
    source += "\n" + Definitions(entry);
  }
  std::filesystem::create_directories(directory);
  Write(directory / "aclnn_ops.h", header + "\n}  // extern \"C\"\n");
  Write(directory / "aclnn_ops.cpp", source);
  Write(directory / "op_defs.json", DefinitionsAsJson());
}

}  // namespace

}  // namespace npufa_sim

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: opbuild <directory>\n";
    return 2;
  }
  try {
    npufa_sim::Generate(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "opbuild: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
