#include "../common/kv_rmsnorm_rope_cache.h"

#include "../../op_kernel/tiling/kv_rmsnorm_rope_tiling.h"
#include "../cache/paged_rows_tiling.h"

namespace npufa {

namespace {

// Each cache has the type of kv, or int8.
Types CacheTypes(std::size_t times) {
  Types types;
  for (const ge::DataType type : {ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT}) {
    const Types four = times == 1 ? Cycled({type, ge::DT_INT8}, 2) : Repeated({type, ge::DT_INT8}, 2);
    types.insert(types.end(), four.begin(), four.end());
  }
  return types;
}

const PlainOperator& KvRmsnormRopeCache() {
  static const Types types = Repeated({ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT}, 4);
  static const Types integers(types.size(), ge::DT_INT64), floats(types.size(), ge::DT_FLOAT);
  static const PlainOperator parts{
      "npu_kv_rmsnorm_rope_cache",
      {{"kv", types},
       {"gamma", types},
       {"cos", types},
       {"sin", types},
       {"index", integers},
       {"k_cache", CacheTypes(1)},
       {"ckv_cache", CacheTypes(2)},
       {"k_rope_scale", floats, ops::OPTIONAL},
       {"c_kv_scale", floats, ops::OPTIONAL},
       {"k_rope_offset", floats, ops::OPTIONAL},
       {"c_kv_offset", floats, ops::OPTIONAL},
       {"v", types, ops::OPTIONAL}},
      {{"epsilon", 1e-5f}, {"cache_mode", "Norm"}, {"is_output_kv", false}, {"k_block_step", 1}, {"ckv_block_step", 1}},
      {{"k_cache", "k_cache"},
       {"ckv_cache", "ckv_cache"},
       {"k_embed_out", "kv", "k_cache"},
       {"y_out", "kv", "ckv_cache"}}};
  return parts;
}

void RequireFits(const char* op, const char* name, std::int64_t columns, std::int64_t most) {
  if (columns > most) {
    Fail(op, name, "has more columns than the NPU kernel takes", columns, "at most " + std::to_string(most));
  }
}

void Tile(const PlainReader<gert::TilingContext>& reader, gert::TilingContext& context) {
  constexpr std::int64_t kMostNorm = 1024, kMostRope = 256, kWord = 128;
  const auto call = ReadKvRmsnormRope<std::int64_t>(reader);
  RequireFits(call.op, call.v ? "v" : "gamma", call.norm.row, kMostNorm);
  RequireFits(call.op, call.v ? "gamma" : "cos", call.rope.row, kMostRope);
  auto& tiling = TilingData<KvRmsnormRopeTiling>(context);
  tiling.tokens = static_cast<std::uint64_t>(call.tokens);
  tiling.sequenceTokens = static_cast<std::uint64_t>(call.sequence_tokens);
  tiling.normColumns = static_cast<std::uint32_t>(call.norm_columns);
  tiling.ropeColumns = static_cast<std::uint32_t>(call.rope_columns);
  tiling.keyColumns = static_cast<std::uint32_t>(call.rope.row);
  tiling.valueColumns = static_cast<std::uint32_t>(call.norm.row);
  tiling.split = call.v ? 1 : 0;
  tiling.hasOutputs = call.returns_rows ? 1 : 0;
  tiling.epsilon = static_cast<float>(call.epsilon);
  tiling.indexPerBlock = call.index_per_block ? 1 : 0;
  tiling.indexInSequence = call.index_in_sequence ? 1 : 0;
  tiling.blockSize = call.norm.block_size;
  tiling.slots = call.norm.block_size * (call.index_in_sequence ? 1 : call.norm.blocks);
  tiling.rope = TilePagedRows(call.rope);
  tiling.norm = TilePagedRows(call.norm);
  const std::int64_t pitch = (call.norm.row + kWord - 1) / kWord * kWord;  // rows of rope are never too long
  tiling.tileRows = static_cast<std::uint32_t>(std::min<std::int64_t>(RMSNORM_ROWS, RMSNORM_FLOATS / pitch));
  // A few tokens are spread over the cores.
  const std::int64_t cores = LaunchOnVectors(context, call.tokens), share = (call.tokens + cores - 1) / cores;
  tiling.tileRows = static_cast<std::uint32_t>(std::clamp<std::int64_t>(share, 1, tiling.tileRows));
  ChooseType(context, call.kv.dtype);
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaKvRmsnormRopeCache : public OpDef {
 public:
  explicit NpufaKvRmsnormRopeCache(const char* name) : OpDef(name) {
    npufa::DefinePlain<npufa::KvRmsnormRopeCache, npufa::Tile>(this);
  }
};

OP_ADD(NpufaKvRmsnormRopeCache);

}  // namespace ops
