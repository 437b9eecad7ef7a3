// Inference and tiling of NpufaDropoutMask.
#pragma once

#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "exe_graph/runtime/tiling_context.h"
#include "graph/ge_error_codes.h"

namespace npufa {

ge::graphStatus InferShapeOfDropoutMask(gert::InferShapeContext* context);
ge::graphStatus InferDataTypeOfDropoutMask(gert::InferDataTypeContext* context);
ge::graphStatus TileDropoutMask(gert::TilingContext* context);

}  // namespace npufa
