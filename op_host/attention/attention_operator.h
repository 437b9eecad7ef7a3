// Shape and type inference and tiling of every attention operator, from its table of parts.
#pragma once

#include "../operator/operator_parts.h"
#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "exe_graph/runtime/tiling_context.h"

namespace npufa {

ge::graphStatus InferShapes(gert::InferShapeContext* context, const OperatorParts& parts);
ge::graphStatus InferDataTypes(gert::InferDataTypeContext* context, const OperatorParts& parts);
ge::graphStatus TileForward(gert::TilingContext* context, const OperatorParts& parts);
ge::graphStatus TileBackward(gert::TilingContext* context, const OperatorParts& parts);

using Tiler = ge::graphStatus (*)(gert::TilingContext*, const OperatorParts&);

// The whole definition of the operator with these parts.
template <const OperatorParts& (*parts)(), Tiler tile>
void Define(ops::OpDef* def) {
  Declare(parts(), def);
  def->SetInferShape(+[](gert::InferShapeContext* context) { return InferShapes(context, parts()); });
  def->SetInferDataType(+[](gert::InferDataTypeContext* context) { return InferDataTypes(context, parts()); });
  def->AICore().SetTiling(+[](gert::TilingContext* context) { return tile(context, parts()); });
}

}  // namespace npufa
