// What a tiling function hands to a launch.
#pragma once

#include <algorithm>
#include <stdexcept>

#include "../common/dtype.h"
#include "exe_graph/runtime/tiling_context.h"
#include "tiling/platform/platform_ascendc.h"

namespace npufa {

template <class Tiling>
Tiling& TilingData(gert::TilingContext& context) {
  auto* tiling = context.GetTilingData<Tiling>();
  if (tiling == nullptr) throw std::runtime_error("no room for the tiling data of the kernel");
  return *tiling;
}

inline std::size_t& WorkspaceSize(gert::TilingContext& context) {
  std::size_t* workspace = context.GetWorkspaceSizes(1);
  if (workspace == nullptr) throw std::runtime_error("no room for the size of the kernel's workspace");
  return *workspace;
}

// A kernel of vector cores without a workspace of its own, on at most `units` of them; returns how many.
inline std::int64_t LaunchOnVectors(gert::TilingContext& context, std::int64_t units) {
  const platform_ascendc::PlatformAscendC platform(context.GetPlatformInfo());
  WorkspaceSize(context) = platform.GetLibApiWorkSpaceSize();
  const std::int64_t cores = std::clamp<std::int64_t>(units, 1, platform.GetCoreNumAiv());
  context.SetBlockDim(static_cast<std::uint32_t>(cores));
  return cores;
}

// Keys of a kernel whose binary has a part for each floating type.
inline void ChooseType(gert::TilingContext& context, DType dtype) {
  context.SetTilingKey(dtype == DType::kFloat16 ? 0 : dtype == DType::kBFloat16 ? 1 : 2);
}

}  // namespace npufa
