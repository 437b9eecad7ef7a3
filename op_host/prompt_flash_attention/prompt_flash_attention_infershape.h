// Shape and type of npu_prompt_flash_attention's output.
#pragma once

#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "graph/ge_error_codes.h"

namespace npufa {

ge::graphStatus InferShapeOfPromptFlashAttention(gert::InferShapeContext* context);
ge::graphStatus InferDataTypeOfPromptFlashAttention(gert::InferDataTypeContext* context);

}  // namespace npufa
