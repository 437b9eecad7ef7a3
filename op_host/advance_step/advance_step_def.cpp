#include "../common/advance_step.h"

#include <limits>

#include "../../op_kernel/tiling/advance_step_tiling.h"
#include "../operator/plain_operator.h"

namespace npufa {

namespace {

const PlainOperator& AdvanceStep() {
  static const Types integers{ge::DT_INT64};
  static const PlainOperator parts{
      "npu_advance_step_flashattn",
      {{"input_tokens", integers},
       {"sampled_token_ids", integers},
       {"input_positions", integers},
       {"seq_lens", integers},
       {"slot_mapping", integers},
       {"block_tables", integers},
       {"spec_token", integers, ops::OPTIONAL},
       {"accepted_num", integers, ops::OPTIONAL}},
      {{"num_seqs", 1, ops::REQUIRED}, {"num_queries", 1, ops::REQUIRED}, {"block_size", 1, ops::REQUIRED}},
      {{"input_tokens", "input_tokens"},
       {"input_positions", "input_positions"},
       {"seq_lens", "seq_lens"},
       {"slot_mapping", "slot_mapping"}}};
  return parts;
}

// Positions that a row of the block table covers.
std::int64_t Reach(std::int64_t columns, std::int64_t block_size) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  return columns > kMost / block_size ? kMost : columns * block_size;
}

void Tile(const PlainReader<gert::TilingContext>& reader, gert::TilingContext& context) {
  const auto call = ReadAdvanceStep<std::int64_t>(reader);
  CheckAdvanceStep(call);
  const std::int64_t width = call.spec_token ? 1 + call.spec_token.Size(1) : 1;
  if (width > ADVANCE_TILE_ENTRIES) {
    Fail(call.op, "spec_token", "has more columns than the NPU kernel takes", width - 1,
         "at most " + std::to_string(ADVANCE_TILE_ENTRIES - 1));
  }
  auto& tiling = TilingData<AdvanceStepTiling>(context);
  tiling.requests = call.num_seqs;
  tiling.queries = call.num_queries;
  tiling.width = width;
  tiling.speculative = call.spec_token ? 1 : 0;
  tiling.blockSize = call.block_size;
  tiling.tableColumns = call.block_tables.Size(1);
  tiling.reach = Reach(tiling.tableColumns, call.block_size);
  tiling.tileRequests = std::min(ADVANCE_UNIT_REQUESTS, ADVANCE_TILE_ENTRIES / width);
  LaunchOnVectors(context, (call.num_seqs + ADVANCE_UNIT_REQUESTS - 1) / ADVANCE_UNIT_REQUESTS);
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaAdvanceStepFlashattn : public OpDef {
 public:
  explicit NpufaAdvanceStepFlashattn(const char* name) : OpDef(name) {
    npufa::DefinePlain<npufa::AdvanceStep, npufa::Tile>(this);
  }
};

OP_ADD(NpufaAdvanceStepFlashattn);

}  // namespace ops
