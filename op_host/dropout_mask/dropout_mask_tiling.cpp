#include "dropout_mask_tiling.h"

#include <algorithm>

#include "../../op_kernel/tiling/dropout_tiling.h"
#include "dropout_mask_call.h"
#include "tiling/platform/platform_ascendc.h"

namespace npufa {

namespace {

constexpr std::int64_t kUnknownSize = -1;

constexpr std::uint64_t CeilDiv(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

DropoutMaskCall KnownCall(const gert::TilingContext& context) {
  const std::optional<DropoutMaskCall> call = ReadDropoutMaskCall(context);
  if (call) return *call;
  Fail(kDropoutMaskOp, "elements_seed_offset", "has no values on the host", "a device tensor",
       "values known before the launch");
}

// Tiles as large as possible, once every core has one.
void Tile(gert::TilingContext& context) {
  const DropoutMaskCall call = KnownCall(context);
  const platform_ascendc::PlatformAscendC platform(context.GetPlatformInfo());
  const std::uint64_t cores = platform.GetCoreNumAiv();
  auto* tiling = context.GetTilingData<DropoutTiling>();
  std::size_t* workspace = context.GetWorkspaceSizes(1);
  if (tiling == nullptr || workspace == nullptr) throw std::runtime_error("no room for the tiling of the kernel");

  const std::uint64_t counters = CeilDiv(static_cast<std::uint64_t>(call.elements), 4);
  const std::uint64_t units = std::max<std::uint64_t>(1, CeilDiv(counters, cores * DROPOUT_TILE_UNIT));
  tiling->seed = call.seed;
  tiling->firstCounter = call.offset;
  tiling->elements = static_cast<std::uint64_t>(call.elements);
  tiling->tileCounters =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(units * DROPOUT_TILE_UNIT, DROPOUT_TILE_LIMIT));
  tiling->tiles = CeilDiv(counters, tiling->tileCounters);
  tiling->seedOnDevice = call.seed_on_device;
  tiling->lastKept = static_cast<std::int32_t>(call.threshold - 1 - kDropoutWords / 2);
  *workspace = platform.GetLibApiWorkSpaceSize();
  context.SetBlockDim(static_cast<std::uint32_t>(std::min(cores, tiling->tiles)));
}

}  // namespace

ge::graphStatus InferShapeOfDropoutMask(gert::InferShapeContext* context) {
  return ReportingErrors([context] {
    const std::optional<DropoutMaskCall> call = ReadDropoutMaskCall(*context);
    gert::Shape* shape = context->GetOutputShape(0);
    if (shape == nullptr) Fail(kDropoutMaskOp, "mask", "is missing", "None", "an output");
    shape->SetDimNum(0);
    shape->AppendDim(call ? (call->elements + 7) / 8 : kUnknownSize);
  });
}

ge::graphStatus InferDataTypeOfDropoutMask(gert::InferDataTypeContext* context) {
  return context->SetOutputDataType(0, ge::DT_UINT8);
}

ge::graphStatus TileDropoutMask(gert::TilingContext* context) {
  return ReportingErrors([context] { Tile(*context); });
}

}  // namespace npufa
