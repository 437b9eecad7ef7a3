// An attention operator as a table: inputs, attributes, outputs and the types that go together. The definition and the
// reading of a call both follow from it.
#pragma once

#include <variant>
#include <vector>

#include "../common/attention_call.h"
#include "register/op_def_registry.h"

namespace npufa {

// What decides the types of a tensor.
enum class Role {
  kQuery,  // these four make up a TypeColumn
  kCache,
  kBias,
  kOutput,
  kBytes,    // uint8: masks
  kFloats,   // float32
  kIndices,  // int32
  kInteger,  // int64, which the device reads
  kList,     // int64 whose values the host sees
};

// One supported combination of types.
struct TypeColumn {
  ge::DataType query, cache, bias, output;
};

struct InputPart {
  const char* name;
  Role role;
  ops::Option presence = ops::OPTIONAL;
};

struct OutputPart {
  const char* name;
  Role role;
  const char* like = nullptr;  // the input whose sizes it has, if any; no elements where that is absent
};

struct AttributePart {
  const char* name;
  std::variant<std::int64_t, float, const char*, bool> fallback;
  ops::Option presence = ops::OPTIONAL;
};

struct OperatorParts {
  const char* op;  // torch's name, for messages
  OpKind kind;
  std::vector<InputPart> inputs;
  std::vector<AttributePart> attributes;
  std::vector<OutputPart> outputs;
  std::vector<TypeColumn> types;
};

// Types of training operators, and of inference operators without and with quantised caches.
std::vector<TypeColumn> TrainingTypes();
std::vector<TypeColumn> InferenceTypes(bool quantised_cache);

// Attributes of training forward and backward.
std::vector<AttributePart> TrainingAttributes();

void DeclareAttribute(const AttributePart& part, ops::OpAttrDef* attribute);

// Everything of a definition but its functions. Kernels choose by tiling key, so that one binary serves all types.
void Declare(const OperatorParts& parts, ops::OpDef* def);

}  // namespace npufa
