#include "../common/scatter_cache.h"

#include "../../op_kernel/tiling/scatter_tiling.h"
#include "paged_rows_tiling.h"

namespace npufa {

namespace {

const Types& Rows() {
  static const Types types = Repeated(MovableTypes(), 2);
  return types;
}
const Types& Slots() {
  static const Types types = Cycled({ge::DT_INT32, ge::DT_INT64}, MovableTypes().size());
  return types;
}

const PlainOperator& ScatterPaKvCache() {
  static const PlainOperator parts{
      "npu_scatter_pa_kv_cache",
      {{"key", Rows()}, {"value", Rows()}, {"key_cache", Rows()}, {"value_cache", Rows()}, {"slot_mapping", Slots()}},
      {{"cache_mode", ""}, {"key_block_step", 1}, {"value_block_step", 1}},
      {{"key_cache", "key_cache"}, {"value_cache", "value_cache"}}};
  return parts;
}

const PlainOperator& ScatterPaCache() {
  static const PlainOperator parts{"npu_scatter_pa_cache",
                                   {{"key", Rows()}, {"key_cache", Rows()}, {"slot_mapping", Slots()}},
                                   {{"cache_mode", ""}, {"key_block_step", 1}},
                                   {{"key_cache", "key_cache"}}};
  return parts;
}

void Tile(const PlainReader<gert::TilingContext>& reader, gert::TilingContext& context) {
  const auto call = ReadScatter<std::int64_t>(reader);
  auto& tiling = TilingData<ScatterTiling>(context);
  const PagedRows<std::int64_t>& keys = call.sides[0].rows;
  tiling.tokens = call.tokens;
  tiling.slots = keys.blocks * keys.block_size;
  tiling.blockSize = keys.block_size;
  tiling.slotBytes = SizeOf(call.slots.dtype);
  tiling.sides = static_cast<std::int64_t>(call.sides.size());
  for (std::size_t i = 0; i < call.sides.size(); ++i) tiling.side[i] = TilePagedRows(call.sides[i].rows);
  LaunchOnVectors(context, call.tokens);
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaScatterPaKvCache : public OpDef {
 public:
  explicit NpufaScatterPaKvCache(const char* name) : OpDef(name) {
    npufa::DefinePlain<npufa::ScatterPaKvCache, npufa::Tile>(this);
  }
};

class NpufaScatterPaCache : public OpDef {
 public:
  explicit NpufaScatterPaCache(const char* name) : OpDef(name) {
    npufa::DefinePlain<npufa::ScatterPaCache, npufa::Tile>(this);
  }
};

OP_ADD(NpufaScatterPaKvCache);
OP_ADD(NpufaScatterPaCache);

}  // namespace ops
