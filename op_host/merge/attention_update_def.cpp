#include "../common/attention_update.h"

#include <limits>

#include "../../op_kernel/tiling/merge_tiling.h"
#include "../operator/plain_operator.h"

namespace npufa {

namespace {

const Types& Outputs() {
  static const Types types{ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT};
  return types;
}
const Types& Statistics() {
  static const Types types(Outputs().size(), ge::DT_FLOAT);
  return types;
}

const PlainOperator& AttentionUpdate() {
  static const PlainOperator parts{"npu_attention_update",
                                   {{"lse", Statistics(), ops::DYNAMIC}, {"local_out", Outputs(), ops::DYNAMIC}},
                                   {{"update_type", 0, ops::REQUIRED}},
                                   {{"out", "local_out"}, {"lse_out", "lse"}}};
  return parts;
}

const PlainOperator& RingAttentionUpdate() {
  static const Types integers(Outputs().size(), ge::DT_INT64);
  static const PlainOperator parts{
      "npu_ring_attention_update",
      {{"prev_attn_out", Outputs()},
       {"prev_softmax_max", Statistics()},
       {"prev_softmax_sum", Statistics()},
       {"cur_attn_out", Outputs()},
       {"cur_softmax_max", Statistics()},
       {"cur_softmax_sum", Statistics()},
       {"actual_seq_qlen", integers, ops::OPTIONAL}},
      {{"input_layout", "SBH"}, {"input_softmax_layout", ""}},
      {{"attn_out", "prev_attn_out"}, {"softmax_max", "prev_softmax_max"}, {"softmax_sum", "prev_softmax_sum"}}};
  return parts;
}

// Rows of a tile whose widest part has so many columns.
std::uint32_t TileRows(std::int64_t columns) {
  constexpr std::int64_t kWord = 64, kBlock = 8;
  const std::int64_t pitch = (std::clamp<std::int64_t>(columns, 1, MERGE_COLUMNS) + kWord - 1) / kWord * kWord;
  return static_cast<std::uint32_t>(std::min<std::int64_t>(MERGE_ROWS, MERGE_FLOATS / pitch / kBlock * kBlock));
}

void TileAttentionUpdate(const PlainReader<gert::TilingContext>& reader, gert::TilingContext& context) {
  const auto call = ReadAttentionUpdate<std::int64_t>(reader);
  auto& tiling = TilingData<AttentionUpdateTiling>(context);
  tiling.rows = static_cast<std::uint64_t>(call.outputs[0].Size(0));
  tiling.columns = static_cast<std::uint32_t>(call.outputs[0].Size(1));
  tiling.parts = static_cast<std::uint32_t>(call.outputs.size());
  tiling.tileRows = TileRows(call.outputs[0].Size(1));
  tiling.hasLse = call.returns_lse ? 1 : 0;
  ChooseType(context, call.outputs[0].dtype);
  const std::int64_t cores = LaunchOnVectors(context, std::numeric_limits<std::int32_t>::max());
  // Fewer rows at once where cores would be idle.
  const std::uint64_t share = (tiling.rows + cores - 1) / cores;
  tiling.tileRows = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(share, 1, tiling.tileRows));
  LaunchOnVectors(context, static_cast<std::int64_t>((tiling.rows + tiling.tileRows - 1) / tiling.tileRows));
}

void TileRingUpdate(const PlainReader<gert::TilingContext>& reader, gert::TilingContext& context) {
  const auto call = ReadRingUpdate<std::int64_t>(reader);
  auto& tiling = TilingData<RingUpdateTiling>(context);
  const std::int64_t token = call.heads * call.columns;  // elements of an output
  tiling.sequences = static_cast<std::uint64_t>(call.sequences);
  tiling.tokens = static_cast<std::uint64_t>(call.tokens_first ? call.tokens * call.heads : call.tokens);
  tiling.heads = static_cast<std::uint64_t>(call.tokens_first ? 1 : call.heads);
  tiling.columns = static_cast<std::uint32_t>(call.columns);
  tiling.hasLengths = call.packed ? 1 : 0;
  const bool batched = !call.packed && !call.tokens_first;
  tiling.outputPitch = static_cast<std::uint64_t>(call.tokens_first ? call.columns
                                                  : batched         ? call.sequences * token
                                                                    : token);
  tiling.sequenceOutput = static_cast<std::uint64_t>(token);
  tiling.tileRows = TileRows(call.columns);
  ChooseType(context, call.output.dtype);
  LaunchOnVectors(context, call.sequences * call.tokens * call.heads);
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaAttentionUpdate : public OpDef {
 public:
  explicit NpufaAttentionUpdate(const char* name) : OpDef(name) {
    npufa::DefinePlain<npufa::AttentionUpdate, npufa::TileAttentionUpdate>(this);
  }
};

class NpufaRingAttentionUpdate : public OpDef {
 public:
  explicit NpufaRingAttentionUpdate(const char* name) : OpDef(name) {
    npufa::DefinePlain<npufa::RingAttentionUpdate, npufa::TileRingUpdate>(this);
  }
};

OP_ADD(NpufaAttentionUpdate);
OP_ADD(NpufaRingAttentionUpdate);

}  // namespace ops
