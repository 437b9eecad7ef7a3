// An operator whose outputs have the sizes and types of inputs, as a table: definition, inference and reading of a call
// follow from it. Attention operators have tables of their own, see operator_parts.h.
#pragma once

#include "exe_graph/runtime/infer_datatype_context.h"
#include "launch.h"
#include "named_reader.h"
#include "operator_parts.h"

namespace npufa {

using Types = std::vector<ge::DataType>;  // one for each supported combination

struct PlainInput {
  const char* name;
  Types types;
  ops::Option presence = ops::REQUIRED;
};

struct PlainOutput {
  const char* name;
  const char* like;            // the input whose types and sizes it has
  const char* last = nullptr;  // the input whose last extent it has instead
};

struct PlainOperator {
  const char* op;  // torch's name, for messages
  std::vector<PlainInput> inputs;
  std::vector<AttributePart> attributes;
  std::vector<PlainOutput> outputs;  // an input that is written has an output of its name
};

template <class Context>
using PlainReader = NamedReader<Context, PlainOperator>;

// Each type of `types` `times` times in a row, and all of them again and again.
Types Repeated(const Types& types, std::size_t times);
Types Cycled(const Types& types, std::size_t times);

void Declare(const PlainOperator& parts, ops::OpDef* def);
ge::graphStatus InferShapes(gert::InferShapeContext* context, const PlainOperator& parts);
ge::graphStatus InferDataTypes(gert::InferDataTypeContext* context, const PlainOperator& parts);

using PlainTiler = void (*)(const PlainReader<gert::TilingContext>&, gert::TilingContext&);

// The whole definition of the operator with these parts.
template <const PlainOperator& (*parts)(), PlainTiler tile>
void DefinePlain(ops::OpDef* def) {
  Declare(parts(), def);
  def->SetInferShape(+[](gert::InferShapeContext* context) { return InferShapes(context, parts()); });
  def->SetInferDataType(+[](gert::InferDataTypeContext* context) { return InferDataTypes(context, parts()); });
  def->AICore().SetTiling(+[](gert::TilingContext* context) {
    return ReportingErrors([&] { tile(PlainReader<gert::TilingContext>(*context, parts()), *context); });
  });
}

}  // namespace npufa
