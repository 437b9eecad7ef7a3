#include "sequence_tiling.h"

#include <algorithm>
#include <numeric>

#include "tensor_strides.h"

namespace npufa {

namespace {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

std::uint32_t LengthSourceOf(const std::vector<std::int64_t>& lengths) {
  if (lengths.empty()) return LENGTH_FULL;
  return lengths.size() == 1 ? LENGTH_COMMON : LENGTH_EACH;
}

std::int64_t LengthOf(const std::vector<std::int64_t>& lengths, std::int64_t full, std::int64_t index) {
  if (lengths.empty()) return full;
  return lengths[lengths.size() == 1 ? 0 : static_cast<std::size_t>(index)];
}

// What remains of the band without lengths are its shifts, and what they are counted from: what moves them with it.
WindowRule RuleOf(const SparseRule& rule, bool edge, bool packed) {
  const Band band = BandOf(rule, 0, 0, 0, 0, edge);
  const Band longer = BandOf(rule, 0, 1, 0, 0, edge);
  const Band moved = packed ? band : BandOf(rule, 0, 0, 0, 1, edge);
  const auto origin = [&](std::int64_t Band::* shift) {
    if (longer.*shift != band.*shift) return ORIGIN_CORNER;
    return moved.*shift != band.*shift ? ORIGIN_STORAGE : ORIGIN_ROW;
  };
  WindowRule window{};
  window.beginShift = band.begin_shift;
  window.endShift = band.end_shift;
  window.beginOrigin = origin(&Band::begin_shift);
  window.endOrigin = origin(&Band::end_shift);
  return window;
}

// The sequence to which modes 7 and 8 apply the band.
std::int64_t EdgeSequence(const Spec& spec) {
  if (spec.rule.mode == kVarlenLeftUp) return 0;
  if (spec.rule.mode != kVarlenRightDown) return -1;
  if (spec.q_lens_on_device) return LAST_SEQUENCE;
  const auto last = std::find_if(spec.q_lens.rbegin(), spec.q_lens.rend(), [](std::int64_t n) { return n > 0; });
  return last == spec.q_lens.rend() ? 0 : spec.q_lens.rend() - last - 1;
}

std::uint32_t SourceOf(bool on_device, const std::vector<std::int64_t>& lengths, std::int64_t batch,
                       const TensorDesc<std::int64_t>& tensor) {
  if (!on_device) return LengthSourceOf(lengths);
  return tensor.Size(0) == 1 && batch != 1 ? LENGTH_COMMON : LENGTH_EACH;
}

// Masks and biases of packed batches bound the sequences, which the host could not compare with them.
void BoundSequences(const Call& call, const Spec& spec, SequenceTiling& tiling) {
  tiling.lengthsOnDevice = spec.LengthsOnDevice();
  tiling.mostQuery = tiling.qTokens;
  tiling.mostKey = tiling.kvTokens;
  const bool of_keys = call.pse_layout != kPsePerHead;
  if (!(spec.IsPackedBatch() || of_keys) || !spec.LengthsOnDevice()) return;
  const auto bound = [](std::uint32_t& most, std::int64_t size) {
    most = static_cast<std::uint32_t>(std::min<std::int64_t>(most, size));
  };
  if (spec.rule.dense_mask) {
    if (call.atten_mask.Size(-2) > 1) bound(tiling.mostQuery, call.atten_mask.Size(-2));
    bound(tiling.mostKey, call.atten_mask.Size(-1));
  }
  if (spec.pse == PseForm::kFull) {
    if (call.pse.Size(-2) > 1) bound(tiling.mostQuery, call.pse.Size(-2));
    bound(tiling.mostKey, call.pse.Size(-1));
  }
}

bool KeepsPrefix(const Call& call, const Spec& spec) {
  return call.prefix && !spec.rule.dense_mask && (spec.rule.mode == kPrefix || spec.rule.mode == kPrefixCompressed);
}

}  // namespace

void FillSequences(const Call& call, const Spec& spec, SequenceTiling& tiling) {
  const bool packed_keys = spec.IsPackedBatch() && spec.cache == CacheLayout::kNone;
  tiling.batch = Narrow(call.op, "query", spec.batch);
  tiling.heads = Narrow(call.op, "query", spec.heads);
  tiling.groupSize = static_cast<std::uint32_t>(spec.heads / spec.kv_heads);
  tiling.qTokens = Narrow(call.op, "query", spec.q_tokens);
  tiling.kvTokens = Narrow(call.op, "key", spec.kv_tokens);
  tiling.prefixTokens = Narrow(call.op, "key_shared_prefix", spec.prefix_tokens);
  Narrow(call.op, "key", spec.kv_tokens + spec.prefix_tokens);
  tiling.packedQuery = spec.IsPackedBatch();
  tiling.packedKey = packed_keys;
  tiling.leftPaddedQuery = spec.left_padded_q;
  tiling.leftPaddedKey = spec.left_padded_kv;
  tiling.qLengths = spec.IsPackedBatch() ? LENGTH_CUMULATIVE
                                         : SourceOf(spec.q_lens_on_device, spec.q_lens, spec.batch, call.q_lens_tensor);
  tiling.kvLengths =
      packed_keys ? LENGTH_CUMULATIVE : SourceOf(spec.kv_lens_on_device, spec.kv_lens, spec.batch, call.kv_lens_tensor);
  tiling.biasOfTokens = call.pse_layout == kPseOfTokens;
  BoundSequences(call, spec, tiling);
  tiling.longestQuery = tiling.qTokens;
  if (spec.IsPackedBatch() && !spec.q_lens_on_device) {
    const auto longest = std::max_element(spec.q_lens.begin(), spec.q_lens.end());
    tiling.longestQuery = longest == spec.q_lens.end() ? 0 : static_cast<std::uint32_t>(*longest);
  }
  const std::int64_t edge = EdgeSequence(spec);
  tiling.edgeSequence = edge < 0 ? NO_SEQUENCE : static_cast<std::uint32_t>(edge);
  tiling.keepsPrefix = KeepsPrefix(call, spec);
  tiling.window = RuleOf(spec.rule, false, spec.IsPackedBatch());
  tiling.edgeWindow = RuleOf(spec.rule, true, spec.IsPackedBatch());
}

HostSequence SequenceOf(const Call& call, const Spec& spec, std::int64_t index) {
  HostSequence s;
  s.q_length = LengthOf(spec.q_lens, spec.q_tokens, index);
  s.kv_length = LengthOf(spec.kv_lens, spec.kv_tokens, index) + spec.prefix_tokens;
  s.stored_rows = spec.IsPackedBatch() ? s.q_length : spec.q_tokens;
  const std::int64_t prefix = KeepsPrefix(call, spec) ? (*call.prefix)[static_cast<std::size_t>(index)] : 0;
  s.band = BandOf(spec.rule, s.q_length, s.kv_length, prefix, 0, index == EdgeSequence(spec));
  return s;
}

bool SequencesAreAlike(const Call& call, const Spec& spec) {
  return spec.q_lens.size() <= 1 && spec.kv_lens.size() <= 1 && !KeepsPrefix(call, spec);
}

std::int64_t TailRows(const Spec& spec) {
  if (!spec.IsPackedBatch()) return 0;
  return spec.q_tokens - std::accumulate(spec.q_lens.begin(), spec.q_lens.end(), std::int64_t{0});
}

}  // namespace npufa
