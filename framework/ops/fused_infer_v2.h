// Arguments that only npu_fused_infer_attention_score_v2 and its helpers have.
#pragma once

#include "arguments.h"

namespace npufa {

// Raises for what they could ask for and nothing here can do; takes no notice of other operators.
void RequireSupportedV2(const Arguments& a);

}  // namespace npufa
