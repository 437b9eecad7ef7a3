// Tiling of npu_prompt_flash_attention.
#pragma once

#include "exe_graph/runtime/tiling_context.h"
#include "graph/ge_error_codes.h"

namespace npufa {

ge::graphStatus TilePromptFlashAttention(gert::TilingContext* context);

}  // namespace npufa
