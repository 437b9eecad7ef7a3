// The chips an operator is built for.
#pragma once

#include "register/op_def_registry.h"

namespace npufa {

// Kernels choose by tiling key, so that one binary serves all shapes and types.
inline void AddChips(ops::OpDef& def) {
  ops::OpAICoreConfig config;
  config.DynamicCompileStaticFlag(true)
      .DynamicFormatFlag(true)
      .DynamicRankSupportFlag(true)
      .DynamicShapeSupportFlag(true)
      .NeedCheckSupportFlag(false)
      .PrecisionReduceFlag(true)
      .ExtendCfgInfo("aclnnSupport.value", "support_aclnn")
      .ExtendCfgInfo("jitCompile.flag", "static_false,dynamic_false");
  for (const char* chip : {"ascend910b", "ascend910_93"}) def.AICore().AddConfig(chip, config);
}

}  // namespace npufa
