#include "forward_tiling.h"

#include <algorithm>
#include <cstring>

#include "antiquant_tiling.h"
#include "forward_work.h"
#include "sequence_tiling.h"

namespace npufa {

namespace {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

void SetBias(const Call& call, const Spec& spec, ForwardTiling* tiling) {
  const auto first = [](const OptionalList<std::int64_t>& list) { return list ? (*list)[0] : 0; };
  tiling->biasDistance = first(call.kv_start_idx) - first(call.q_start_idx);
  switch (spec.pse) {
    case PseForm::kNone: return;
    case PseForm::kSlopes:
      tiling->biasKind = spec.pse_type == 2 ? BIAS_LINEAR : BIAS_SQUARE_ROOT;
      tiling->biasFromEnd = spec.pse_from_end;
      tiling->bias = {call.pse.Dim() == 2 && call.pse.Size(0) > 1 ? static_cast<std::uint64_t>(spec.heads) : 0, 1, 0};
      return;
    default:
      tiling->biasKind = spec.pse == PseForm::kCompressed ? BIAS_COMPRESSED : BIAS_MATRIX;
      tiling->biasScaled = spec.pse_type == 1;
      tiling->bias = BroadcastStrides(call.pse);
  }
}

void SetMask(const Call& call, const Spec& spec, ForwardTiling* tiling) {
  if (!spec.rule.dense_mask) return;
  tiling->hasMask = 1;
  const TensorDesc<std::int64_t>& mask = call.atten_mask;
  if (IsDecode(spec, call.kind) && mask.Dim() <= 2) {
    const bool each = mask.Dim() == 2 && mask.Size(0) > 1;
    tiling->mask = {each ? static_cast<std::uint64_t>(mask.Size(1)) : 0, 0, 0};
  } else {
    tiling->mask = BroadcastStrides(mask);
    if (spec.IsPackedBatch()) tiling->mask.batch = 0;
  }
}

TensorStrides PagedStrides(const Spec& spec, std::int64_t channels, DType dtype) {
  const auto head = static_cast<std::uint64_t>(channels);
  const auto heads = static_cast<std::uint64_t>(spec.kv_heads), tokens = static_cast<std::uint64_t>(spec.block_size);
  if (spec.cache == CacheLayout::kBlockHeadToken) return {heads * tokens * head, tokens * head, head};
  const auto columns = static_cast<std::uint64_t>(NzColumns(dtype));
  if (spec.cache == CacheLayout::kNz) return {heads * tokens * head, tokens * head, columns};
  return {heads * tokens * head, head, heads * head};
}

RowsTiling RowsOf(const Spec& spec, std::int64_t channels, DType dtype, std::int64_t stored_prefix) {
  RowsTiling rows{};
  rows.rows = spec.cache == CacheLayout::kNone
                  ? StridesOf(spec.q_layout, spec.batch, spec.kv_tokens, spec.kv_heads, channels)
                  : PagedStrides(spec, channels, dtype);
  if (spec.cache == CacheLayout::kNz) rows.columnPitch = static_cast<std::uint64_t>(spec.block_size * NzColumns(dtype));
  if (stored_prefix > 0) rows.prefix = StridesOf(spec.q_layout, 1, stored_prefix, spec.kv_heads, channels);
  return rows;
}

// Tokens of the shared prefix as stored, of which a call may use fewer.
std::int64_t StoredPrefix(const Call& call, const Spec& spec) {
  return call.key_shared_prefix ? call.key_shared_prefix.Size(AxesOf(spec.q_layout).token) : 0;
}

void SetStrides(const Call& call, const Spec& spec, ForwardTiling* tiling) {
  const std::int64_t prefix = StoredPrefix(call, spec);
  tiling->query = StridesOf(spec.q_layout, spec.batch, spec.q_tokens, spec.heads, spec.head_dim);
  if (tiling->hasQueryScale) tiling->queryScale = StridesOf(spec.q_layout, spec.batch, spec.q_tokens, spec.heads, 1);
  tiling->output = StridesOf(spec.out_layout, spec.batch, spec.q_tokens, spec.heads, spec.value_dim);
  tiling->key = RowsOf(spec, spec.head_dim, spec.kv_dtype, prefix);
  tiling->value = RowsOf(spec, spec.stored_value_dim, spec.kv_dtype, prefix);
  if (spec.rope_dim > 0) {
    tiling->queryRope = StridesOf(spec.q_layout, spec.batch, spec.q_tokens, spec.heads, spec.rope_dim);
    tiling->keyRope = RowsOf(spec, spec.rope_dim, spec.float_dtype, 0);
  }
  const auto heads = static_cast<std::uint64_t>(spec.heads), tokens = static_cast<std::uint64_t>(spec.q_tokens);
  tiling->lse = spec.IsPackedBatch() ? TensorStrides{0, 1, heads} : TensorStrides{heads * tokens, tokens, 1};
  if (spec.cache != CacheLayout::kNone) {
    tiling->blockSize = Narrow(call.op, "block_size", spec.block_size);
    tiling->tableStride = Narrow(call.op, "block_table", call.block_table.Size(1));
  }
}

void SetSoftcap(const Call& call, ForwardTiling* tiling) {
  if (call.softcap == 0.0) return;
  tiling->hasSoftcap = 1;
  tiling->softcap = static_cast<float>(call.softcap);
  tiling->inverseSoftcap = static_cast<float>(1.0 / call.softcap);
}

void SetOutputs(const Call& call, ForwardTiling* tiling) {
  tiling->hasLse = call.softmax_lse;
  tiling->hasStatistics = call.kind == OpKind::kFusion;
  tiling->statisticsByToken = call.softmax_layout == "TND";
  tiling->hasSink = call.sink.defined;
  tiling->hasDropout = call.dropout_mask.defined;
  tiling->keepScale = static_cast<float>(1.0 / call.keep_prob);
  if (call.quant_scale2) {
    tiling->outputScale.kind = call.quant_scale2.Numel() > 1 ? SCALE_PER_CHANNEL : SCALE_ONE;
    tiling->outputScale.hasOffset = call.quant_offset2.defined;
  }
}

std::uint64_t RoundUp(std::uint64_t n, std::uint64_t to) { return (n + to - 1) / to * to; }

std::uint64_t ItemBytes(const Spec& spec) {
  return spec.float_dtype == DType::kFloat32 ? sizeof(float) : sizeof(std::uint16_t);
}

// How keys and values reach the cube. kWidened: float8 as halves without their scales.
enum class Operands { kStored, kConverted, kWidened, kDigits };

// Queries and output can take the scales of keys and values where they do not vary with the key.
bool ScalesCanBeApart(const Spec& spec, const ForwardTiling& tiling) {
  const auto fits = [](const AntiquantTiling& a) { return a.kind == SCALE_ONE || a.kind == SCALE_PER_CHANNEL; };
  return spec.quant.antiquant && spec.rope_dim == 0 && fits(tiling.keyAntiquant) && fits(tiling.valueAntiquant);
}

// int8 keys and values can be multiplied as they are, with queries and probabilities as digits.
bool DigitsFit(const Spec& spec, const ForwardTiling& tiling) {
  return spec.kv_dtype == DType::kInt8 && ScalesCanBeApart(spec, tiling);
}

// Rows of the longest sequence.
std::int64_t MostRows(const Spec& spec, const ForwardTiling& tiling) {
  const bool guess = spec.q_lens_on_device && spec.IsPackedBatch();  // as many tokens in every sequence
  return guess ? (spec.q_tokens + spec.batch - 1) / spec.batch : tiling.sequences.longestQuery;
}

bool HasFewRows(const Spec& spec, const ForwardTiling& tiling) {
  constexpr std::int64_t kFewRows = 64;
  return spec.heads / spec.kv_heads * MostRows(spec, tiling) <= kFewRows;
}

// Digits are worth it where the rows are few.
Operands OperandsOf(const Spec& spec, const ForwardTiling& tiling) {
  if (!spec.quant.antiquant && !spec.quant.Int8Query()) return Operands::kStored;
  if (IsFloat8(spec.kv_dtype)) {
    const bool apart = spec.float_dtype != DType::kFloat32 && ScalesCanBeApart(spec, tiling);
    return apart ? Operands::kWidened : Operands::kConverted;
  }
  // Longer sequences in the batch must not change how a short one is multiplied.
  if (tiling.batchInvariant && spec.IsPackedBatch()) return Operands::kConverted;
  return HasFewRows(spec, tiling) && DigitsFit(spec, tiling) ? Operands::kDigits : Operands::kConverted;
}

// Bytes of a vector core's memory that a tiling takes: queues, accumulated rows, and what each feature adds.
std::uint64_t VectorBytes(const Spec& spec, Operands operands, const ForwardTiling& tiling) {
  constexpr std::uint64_t kStatistics = 8704;  // values per row
  const std::uint64_t item = ItemBytes(spec), chunk = tiling.chunkFloats;
  const std::uint64_t pitch = RoundUp(tiling.valueDim, 64), key_pitch = RoundUp(tiling.headDim, 64);
  std::uint64_t bytes = kStatistics + 2 * chunk * (sizeof(float) + item) + chunk * 9 / 16;
  bytes += tiling.tileRows / 2 * pitch * sizeof(float);
  bytes += std::max(pitch, key_pitch) * sizeof(float);
  if (tiling.hasSoftcap) bytes += chunk / SOFTCAP_PARTS * SOFTCAP_SCRATCH_PARTS * sizeof(float);
  if (tiling.hasMask) bytes += chunk * 3 + chunk / 8;
  if (tiling.biasKind == BIAS_MATRIX || tiling.biasKind == BIAS_COMPRESSED) bytes += chunk / 4 * (item + sizeof(float));
  if (tiling.biasKind >= BIAS_LINEAR) bytes += 2 * tiling.stepColumns * sizeof(float);
  if (tiling.hasDropout) bytes += 3 * std::max<std::uint64_t>(chunk / 8, 2048);
  if (tiling.outputScale.kind != SCALE_NONE) bytes += chunk * 2 + 2 * pitch * sizeof(float);
  if (operands == Operands::kStored) return bytes;
  bytes += 4 * 1024 + 2 * (pitch + key_pitch) * sizeof(float);
  if (tiling.hasQueryScale) bytes += 4352;
  if (tiling.float8 == FLOAT8_E4M3) bytes += 512;
  if (operands == Operands::kConverted) return bytes + chunk * 8;
  const std::uint64_t queries = operands == Operands::kDigits ? chunk : 8 * RoundUp(tiling.headDim, 128);
  bytes += queries * 8 + queries * 9 / 16 + 4608;
  return bytes + (operands == Operands::kDigits ? chunk * 2 : chunk * 4);
}

// Bytes of a cube core's L1: two tiles of queries beside the operands in flight.
std::uint64_t CubeBytes(const Spec& spec, const ForwardTiling& tiling) {
  constexpr std::uint64_t kOperands = 6 * 32 * 1024;
  return kOperands +
         2 * tiling.tileRows * (RoundUp(tiling.headDim, 32) + RoundUp(tiling.ropeDim, 32)) * ItemBytes(spec);
}

// Rows and columns of tiles, as large as the cores' memories allow.
void SetTileSizes(const Spec& spec, Operands operands, ForwardTiling* tiling) {
  constexpr std::uint64_t kCubeMemory = 512 * 1024 - 256;  // the rest is the system's
  constexpr std::uint32_t kFewTileRows = 32;
  // Smaller tiles leave room for longer steps beside the converted keys.
  const bool few = operands == Operands::kWidened && HasFewRows(spec, *tiling);
  // Selections (of masks and dropout) take the last 8 KiB.
  const std::uint64_t vector_memory = tiling->hasMask || tiling->hasDropout ? 184 * 1024 : 192 * 1024;
  const bool apart = operands == Operands::kDigits || operands == Operands::kWidened;
  const std::uint64_t widest = RoundUp(std::max(tiling->valueDim, apart ? tiling->headDim : 0), 64);
  for (const std::uint32_t rows : {128u, 64u, 32u, 16u}) {
    if ((operands == Operands::kDigits || few) && rows > kFewTileRows) continue;
    for (const std::uint32_t chunk : {8192u, 6144u, 4096u}) {
      tiling->tileRows = rows;
      tiling->slotRows = operands == Operands::kDigits ? DIGITS * rows : rows;
      tiling->chunkFloats = chunk;
      tiling->stepColumns = chunk == 8192 ? 1024 : 512;
      if (chunk >= 8 * widest && VectorBytes(spec, operands, *tiling) <= vector_memory &&
          CubeBytes(spec, *tiling) <= kCubeMemory) {
        return;
      }
    }
  }
}

// Two heads that share lines of memory are read together where their rows make one tile: each line once, and whole.
bool TakesPairs(const Spec& spec, Operands operands, const ForwardTiling& tiling) {
  constexpr std::uint64_t kLine = 512;
  const std::uint64_t dim = tiling.headDim, most = 2 * tiling.sequences.groupSize;
  const auto beside = [&](const TensorStrides& rows) { return rows.head == dim && rows.token > dim; };
  const bool share = beside(tiling.key.rows) && beside(tiling.value.rows) &&
                     (spec.prefix_tokens == 0 || (beside(tiling.key.prefix) && beside(tiling.value.prefix)));
  // Longer sequences in the batch must not change how a short one is computed.
  const bool alone = tiling.batchInvariant == 0 || !spec.IsPackedBatch();
  return operands == Operands::kStored && share && alone && tiling.valueDim == dim && spec.rope_dim == 0 &&
         2 * dim * ItemBytes(spec) == kLine && spec.kv_heads % 2 == 0 && most <= tiling.tileRows &&
         HasFewRows(spec, tiling) && MostRows(spec, tiling) < static_cast<std::int64_t>(most);
}

void SetWorkspace(const Spec& spec, Operands operands, ForwardTiling* tiling) {
  const std::uint64_t item = ItemBytes(spec);
  const std::uint64_t rows = std::uint64_t{PIPELINE_SLOTS} * tiling->slotRows;
  tiling->productPitch = static_cast<std::uint32_t>(RoundUp(tiling->valueDim, CUBE_BLOCK));
  tiling->keyPitch = static_cast<std::uint32_t>(RoundUp(tiling->headDim, CUBE_BLOCK));
  tiling->valuePitch = tiling->productPitch;
  tiling->scoreBytes = rows * tiling->stepColumns * sizeof(float);
  tiling->probabilityBytes = rows * tiling->stepColumns * item;
  tiling->productBytes = rows * tiling->productPitch * sizeof(float);
  if (operands == Operands::kConverted || operands == Operands::kWidened) {
    const std::uint64_t keys = std::uint64_t{KEY_SLOTS} * tiling->stepColumns;
    tiling->keyBytes = keys * tiling->keyPitch * item;
    tiling->valueBytes = keys * tiling->valuePitch * item;
  }
  if (operands == Operands::kDigits || operands == Operands::kWidened || tiling->int8Products) {
    tiling->queryBytes = std::uint64_t{KEY_SLOTS} * tiling->slotRows * tiling->keyPitch * item;
  }
  const std::uint64_t group = tiling->tileHeads;
  tiling->partRows = tiling->batchInvariant
                         ? static_cast<std::uint32_t>(std::clamp<std::uint64_t>(group, PIECE_ROWS, tiling->tileRows))
                         : tiling->tileRows;
  tiling->partBytes = RoundUp(std::uint64_t{tiling->partRows} * (tiling->productPitch + 2) * sizeof(float), 512);
}

void SetTiles(const Spec& spec, Operands operands, ForwardTiling* tiling) {
  SetTileSizes(spec, operands, tiling);
  tiling->tileHeads = (TakesPairs(spec, operands, *tiling) ? 2 : 1) * tiling->sequences.groupSize;
  SetWorkspace(spec, operands, tiling);
}

// Whatever lengths there are.
void SetPieces(const Spec& spec, ForwardTiling* tiling) {
  constexpr std::int64_t kPieceBlocks = 8, kKeyAlignment = 16;  // of a tile's first key
  const std::int64_t keys = spec.prefix_tokens + spec.kv_tokens + kKeyAlignment - 1;
  const std::int64_t most = (keys + kPieceBlocks * SPLIT_KEYS - 1) / (kPieceBlocks * SPLIT_KEYS);
  if (!tiling->batchInvariant || most < 2 || (!spec.IsPackedBatch() && spec.q_tokens > PIECE_ROWS)) return;
  tiling->pieceBlocks = static_cast<std::uint32_t>(kPieceBlocks);
  tiling->mostPieces = static_cast<std::uint32_t>(most);
}

std::uint64_t PartsOf(const ForwardTiling& tiling, std::uint64_t cores) {
  if (!tiling.batchInvariant) return 2 * cores;
  const SequenceTiling& s = tiling.sequences;
  const std::uint64_t rows = std::min<std::uint64_t>(s.qTokens, PIECE_ROWS) * s.batch;
  const std::uint64_t blocks = (tiling.tileHeads + tiling.tileRows - 1) / tiling.tileRows;
  return tiling.pieceBlocks > 0 ? rows * (s.heads / tiling.tileHeads) * blocks * tiling.mostPieces : 0;
}

std::uint64_t WorkspaceOf(const ForwardTiling& tiling, std::uint64_t cores) {
  return PartsOf(tiling, cores) * tiling.partBytes +
         cores * (tiling.scoreBytes + tiling.probabilityBytes + tiling.productBytes + tiling.queryBytes +
                  tiling.keyBytes + tiling.valueBytes);
}

// Enough for the same call with any other lengths: the memory that a captured graph keeps serves later ones, too.
std::uint64_t WorkspaceForAnyLengths(const Spec& spec, const ForwardTiling& tiling, Operands operands,
                                     const ChipLimits& chip) {
  const auto with = [&](Operands other) {
    ForwardTiling changed = tiling;
    SetTiles(spec, other, &changed);
    return WorkspaceOf(changed, MostCores(spec, changed.tileRows, chip));
  };
  const bool may_change = spec.IsPackedBatch() && !tiling.batchInvariant && DigitsFit(spec, tiling);
  return may_change ? std::max(with(Operands::kDigits), with(Operands::kConverted)) : with(operands);
}

std::uint64_t TilingKeyOf(const Spec& spec, Operands operands) {
  const std::uint64_t type = spec.float_dtype == DType::kBFloat16  ? KEY_BFLOAT16
                             : spec.float_dtype == DType::kFloat32 ? KEY_FLOAT
                                                                   : KEY_HALF;
  if (operands == Operands::kStored) return type;
  if (operands == Operands::kDigits) return type + KEY_INT8_DIGITS;
  if (operands == Operands::kWidened) return type + KEY_FLOAT8_STORED;
  return type + (spec.int4_cache ? KEY_INT4_STORED : KEY_INT8_STORED);
}

// Whether cores wait for one another to merge their parts of a tile, as the kernel sees it.
bool WaitsForAll(const ForwardTiling& tiling) {
  const auto cut = [](const WorkStart& start) { return start.keyBlock > 0; };
  if (tiling.sequences.lengthsOnDevice != 0 || tiling.pieceBlocks > 0) return true;
  return std::any_of(tiling.start + 1, tiling.start + tiling.cores, cut);
}

std::uint32_t Float8FormatOf(DType type) {
  if (type == DType::kFloat8E4M3) return FLOAT8_E4M3;
  return type == DType::kFloat8E5M2 ? FLOAT8_E5M2 : FLOAT8_NONE;
}

}  // namespace

ForwardLaunch FillTiling(const Call& call, const Spec& spec, float scale, const ChipLimits& chip,
                         ForwardTiling& tiling) {
  std::memset(&tiling, 0, sizeof tiling);
  FillSequences(call, spec, tiling.sequences);
  tiling.headDim = static_cast<std::uint32_t>(spec.head_dim);
  tiling.valueDim = static_cast<std::uint32_t>(spec.value_dim);
  tiling.ropeDim = static_cast<std::uint32_t>(spec.rope_dim);
  tiling.scale = scale;
  SetSoftcap(call, &tiling);
  tiling.int8Products = spec.quant.Int8Query();
  tiling.float8 = Float8FormatOf(spec.kv_dtype);
  tiling.hasQueryScale = spec.quant.quantised_query;
  tiling.batchInvariant = call.batch_invariant;
  SetPieces(spec, &tiling);
  SetStrides(call, spec, &tiling);
  SetBias(call, spec, &tiling);
  SetMask(call, spec, &tiling);
  SetOutputs(call, &tiling);
  if (spec.quant.antiquant) FillAntiquant(call, spec, tiling.keyAntiquant, tiling.valueAntiquant);
  const Operands operands = OperandsOf(spec, tiling);
  const std::uint64_t any_lengths =
      call.q_lens || call.kv_lens ? WorkspaceForAnyLengths(spec, tiling, operands, chip) : 0;
  SetTiles(spec, operands, &tiling);
  FillWork(call, spec, chip, tiling);
  tiling.parts = static_cast<std::uint32_t>(PartsOf(tiling, tiling.cores));

  ForwardLaunch launch;
  launch.tiling_key = TilingKeyOf(spec, operands);
  launch.block_dim = tiling.cores;
  launch.workspace_bytes = std::max(any_lengths, WorkspaceOf(tiling, tiling.cores));
  launch.waits_for_all = WaitsForAll(tiling);
  return launch;
}

}  // namespace npufa
