// Sparse modes (SPEC section 4) as one interval of keys per query row, and the tile classification that follows.
#pragma once

#include <algorithm>
#include <cstdint>

namespace npufa {

inline constexpr std::int64_t kUnbounded = std::int64_t{1} << 40;  // beyond any sequence, far from overflow

enum SparseMode : std::int64_t {
  kDefaultMask = 0,
  kAllMask = 1,
  kLeftUpCausal = 2,
  kRightDownCausal = 3,
  kBand = 4,
  kPrefix = 5,
  kPrefixCompressed = 6,
  kVarlenRightDown = 7,
  kVarlenLeftUp = 8,
};

// Modes that split a packed batch.
inline bool OfPackedBatch(std::int64_t mode) { return mode == kVarlenRightDown || mode == kVarlenLeftUp; }

// Modes whose rule needs no mask; torch_npu wants its compressed triangle with them.
inline bool TakesTriangle(std::int64_t mode) {
  return mode == kLeftUpCausal || mode == kRightDownCausal || mode == kBand || OfPackedBatch(mode);
}

// Keys [begin, end) of a query row.
struct Window {
  std::int64_t begin, end;
};

// Row i keeps keys i + begin_shift <= j <= i + end_shift, and every key j < prefix.
struct Band {
  std::int64_t begin_shift = -kUnbounded;
  std::int64_t end_shift = kUnbounded;
  std::int64_t prefix = 0;

  Window Row(std::int64_t i, std::int64_t kv_len) const {
    const std::int64_t begin = std::max<std::int64_t>(0, i + begin_shift);
    const std::int64_t end = std::min(kv_len, std::max(i + end_shift + 1, prefix));
    return {std::min(begin, kv_len), std::max(end, std::min(begin, kv_len))};
  }
};

struct SparseRule {
  std::int64_t mode = kDefaultMask;
  std::int64_t pre = kUnbounded;
  std::int64_t next = kUnbounded;
  bool dense_mask = false;  // a full mask is given and decides what the band leaves open
};

// Band of one sequence. `storage_shift` is the difference of the storage positions of query row 0 and key 0 (left
// padding), which only mode 0 sees. `edge` marks the sequence to which modes 7 (last) and 8 (first) apply the band.
inline Band BandOf(const SparseRule& rule, std::int64_t q_len, std::int64_t kv_len, std::int64_t prefix,
                   std::int64_t storage_shift, bool edge) {
  const std::int64_t delta = kv_len - q_len;
  const std::int64_t pre = std::clamp(rule.pre, -kUnbounded, kUnbounded);
  const std::int64_t next = std::clamp(rule.next, -kUnbounded, kUnbounded);
  switch (rule.mode) {
    case kDefaultMask:
      if (!rule.dense_mask) return {};
      return {storage_shift - pre, storage_shift + next, 0};
    case kLeftUpCausal: return {-kUnbounded, 0, 0};
    case kRightDownCausal: return {-kUnbounded, delta, 0};
    case kBand: return {delta - pre, delta + next, 0};
    case kPrefix:
    case kPrefixCompressed:
      if (rule.dense_mask) return {};
      return {-kUnbounded, delta, prefix};
    case kVarlenRightDown: return edge ? Band{delta - pre, delta + next, 0} : Band{-kUnbounded, delta, 0};
    case kVarlenLeftUp: return edge ? Band{delta - pre, delta + next, 0} : Band{-kUnbounded, 0, 0};
    default: return {};
  }
}

enum class TileKind { kSkipped, kPartial, kFull };

// How keys [k_begin, k_end) meet query rows [q_begin, q_end) of a sequence: both window ends grow with the row.
inline TileKind ClassifyTile(const Band& band, std::int64_t kv_len, std::int64_t q_begin, std::int64_t q_end,
                             std::int64_t k_begin, std::int64_t k_end) {
  const Window first = band.Row(q_begin, kv_len);
  const Window last = band.Row(q_end - 1, kv_len);
  if (k_begin >= last.end || k_end <= first.begin) return TileKind::kSkipped;
  if (k_begin >= last.begin && k_end <= first.end) return TileKind::kFull;
  return TileKind::kPartial;
}

}  // namespace npufa
