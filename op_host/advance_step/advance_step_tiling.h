// Inference and tiling of npu_advance_step_flashattn.
#pragma once

#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "exe_graph/runtime/tiling_context.h"
#include "graph/ge_error_codes.h"

namespace npufa {

ge::graphStatus InferShapesOfAdvanceStep(gert::InferShapeContext* context);
ge::graphStatus InferDataTypesOfAdvanceStep(gert::InferDataTypeContext* context);
ge::graphStatus TileAdvanceStep(gert::TilingContext* context);

}  // namespace npufa
