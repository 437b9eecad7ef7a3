#include "../common/gather_cache.h"

#include "../../op_kernel/tiling/gather_tiling.h"
#include "paged_rows_tiling.h"

namespace npufa {

namespace {

const PlainOperator& GatherPaKvCache() {
  static const Types rows = Repeated(MovableTypes(), 2);
  static const Types indices = Cycled({ge::DT_INT32, ge::DT_INT64}, MovableTypes().size());
  static const PlainOperator parts{"npu_gather_pa_kv_cache",
                                   {{"key_cache", rows},
                                    {"value_cache", rows},
                                    {"block_tables", indices},
                                    {"seq_lens", indices},
                                    {"key", rows},
                                    {"value", rows},
                                    {"seq_offset", indices, ops::OPTIONAL}},
                                   {{"is_seq_lens_cumsum", false}, {"key_block_step", 1}, {"value_block_step", 1}},
                                   {{"key", "key"}, {"value", "value"}}};
  return parts;
}

void Tile(const PlainReader<gert::TilingContext>& reader, gert::TilingContext& context) {
  const auto call = ReadGather<std::int64_t>(reader);
  auto& tiling = TilingData<GatherTiling>(context);
  tiling.tokens = call.tokens;
  tiling.sequences = call.sequences;
  tiling.blocks = call.keys.blocks;
  tiling.blockSize = call.keys.block_size;
  tiling.tableColumns = call.block_tables.Size(1);
  tiling.indexBytes = SizeOf(call.block_tables.dtype);
  tiling.hasOffsets = call.seq_offset ? 1 : 0;
  tiling.cumulative = call.cumulative ? 1 : 0;
  tiling.side[0] = TilePagedRows(call.keys);
  tiling.side[1] = TilePagedRows(call.values);
  LaunchOnVectors(context, call.tokens);
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaGatherPaKvCache : public OpDef {
 public:
  explicit NpufaGatherPaKvCache(const char* name) : OpDef(name) {
    npufa::DefinePlain<npufa::GatherPaKvCache, npufa::Tile>(this);
  }
};

OP_ADD(NpufaGatherPaKvCache);

}  // namespace ops
