#include "advance_step_tiling.h"

#include <algorithm>
#include <limits>

#include "../../op_kernel/advance_step/advance_step_tiling.h"
#include "../attention_context.h"
#include "../common/advance_step.h"
#include "tiling/platform/platform_ascendc.h"

namespace npufa {

namespace {

constexpr const char* kOp = "npu_advance_step_flashattn";

enum Input : std::size_t {
  kInputTokens,
  kSampledTokenIds,
  kInputPositions,
  kSeqLens,
  kSlotMapping,
  kBlockTables,
  kSpecToken,
  kAcceptedNum,
};
enum Attr : std::size_t { kNumSeqs, kNumQueries, kBlockSize };

// The inputs that the outputs take the place of, in the order of the outputs.
constexpr Input kInPlace[] = {kInputTokens, kInputPositions, kSeqLens, kSlotMapping};

AdvanceStepCall<std::int64_t> ReadCall(const gert::TilingContext& context) {
  const ContextReader reader(context, kOp);
  AdvanceStepCall<std::int64_t> call;
  call.input_tokens = reader.Tensor(kInputTokens);
  call.sampled_token_ids = reader.Tensor(kSampledTokenIds);
  call.input_positions = reader.Tensor(kInputPositions);
  call.seq_lens = reader.Tensor(kSeqLens);
  call.slot_mapping = reader.Tensor(kSlotMapping);
  call.block_tables = reader.Tensor(kBlockTables);
  call.spec_token = reader.Tensor(kSpecToken);
  call.accepted_num = reader.Tensor(kAcceptedNum);
  call.num_seqs = reader.Integer(kNumSeqs, "num_seqs");
  call.num_queries = reader.Integer(kNumQueries, "num_queries");
  call.block_size = reader.Integer(kBlockSize, "block_size");
  return call;
}

// Positions that a row of the block table covers.
std::int64_t Reach(std::int64_t columns, std::int64_t block_size) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  return columns > kMost / block_size ? kMost : columns * block_size;
}

void Tile(gert::TilingContext& context) {
  const AdvanceStepCall<std::int64_t> call = ReadCall(context);
  CheckAdvanceStep(call);
  const std::int64_t width = call.spec_token ? 1 + call.spec_token.Size(1) : 1;
  if (width > ADVANCE_TILE_ENTRIES) {
    Fail(kOp, "spec_token", "has more columns than the NPU kernel takes", width - 1,
         "at most " + std::to_string(ADVANCE_TILE_ENTRIES - 1));
  }
  const platform_ascendc::PlatformAscendC platform(context.GetPlatformInfo());
  auto* tiling = context.GetTilingData<AdvanceStepTiling>();
  std::size_t* workspace = context.GetWorkspaceSizes(1);
  if (tiling == nullptr || workspace == nullptr) throw std::runtime_error("no room for the tiling of the kernel");

  tiling->requests = call.num_seqs;
  tiling->queries = call.num_queries;
  tiling->width = width;
  tiling->speculative = call.spec_token ? 1 : 0;
  tiling->blockSize = call.block_size;
  tiling->tableColumns = call.block_tables.Size(1);
  tiling->reach = Reach(tiling->tableColumns, call.block_size);
  tiling->tileRequests = std::min(ADVANCE_UNIT_REQUESTS, ADVANCE_TILE_ENTRIES / width);
  *workspace = platform.GetLibApiWorkSpaceSize();
  const std::int64_t units = (call.num_seqs + ADVANCE_UNIT_REQUESTS - 1) / ADVANCE_UNIT_REQUESTS;
  context.SetBlockDim(static_cast<std::uint32_t>(std::min<std::int64_t>(units, platform.GetCoreNumAiv())));
}

}  // namespace

ge::graphStatus InferShapesOfAdvanceStep(gert::InferShapeContext* context) {
  for (std::size_t i = 0; i < std::size(kInPlace); ++i) {
    const gert::Shape* input = context->GetInputShape(kInPlace[i]);
    gert::Shape* output = context->GetOutputShape(i);
    if (input == nullptr || output == nullptr) return ge::GRAPH_FAILED;
    *output = *input;
  }
  return ge::GRAPH_SUCCESS;
}

ge::graphStatus InferDataTypesOfAdvanceStep(gert::InferDataTypeContext* context) {
  for (std::size_t i = 0; i < std::size(kInPlace); ++i) {
    const ge::graphStatus status = context->SetOutputDataType(i, ge::DT_INT64);
    if (status != ge::GRAPH_SUCCESS) return status;
  }
  return ge::GRAPH_SUCCESS;
}

ge::graphStatus TileAdvanceStep(gert::TilingContext* context) {
  return ReportingErrors([context] { Tile(*context); });
}

}  // namespace npufa
