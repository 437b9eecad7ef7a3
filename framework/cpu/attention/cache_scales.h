// Scales and offsets of a quantised cache, value = (stored + offset) * scale, moved out of the products: the cache is
// multiplied as it is stored. They vary with the channel or with the token, never with both.
#pragma once

#include "buffer.h"
#include "tiles.h"

namespace npufa::cpu {

class CacheScales {
 public:
  CacheScales(const RowSource& source, const Antiquant& antiquant, std::int64_t channels)
      : source_(source), antiquant_(antiquant), channels_(channels) {}

  bool Any() const { return antiquant_.scale != nullptr; }
  bool PerToken() const { return antiquant_.token != 0; }

  // Of the key. Multiplies the rows of queries by the scales of their channels; shift[g] is what ScaleScores needs.
  void ScaleQuery(const Sequence& s, std::int64_t head, std::int64_t rows, float* query, std::int64_t ld,
                  float* shift) const;
  // From products of scaled queries with the stored rows [first, first + keys) to scores.
  void ScaleScores(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t keys, std::int64_t rows,
                   float* scores, std::int64_t ld, const float* shift);

  // Of the value. With scales per token: multiplies probabilities of the tokens by their scales, and adds to `acc` what
  // the offsets contribute.
  void ScaleProbabilities(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t keys,
                          std::int64_t rows, float* p, std::int64_t ldp, float* acc, std::int64_t acc_ld);
  // With scales per channel: from sums of stored rows, weighted by probabilities whose sum is given, to sums of values.
  void ScaleSums(const Sequence& s, std::int64_t head, std::int64_t rows, float* acc, std::int64_t ld,
                 const float* sum) const;

 private:
  // Position of a token's scale, or of the first channel's.
  std::int64_t At(const Sequence& s, std::int64_t head, std::int64_t token) const;
  // Scales and offsets (null without) of a tile of tokens.
  void Gather(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t keys);
  const float* Offsets() const { return antiquant_.offset ? offset_ : nullptr; }

  const RowSource& source_;
  const Antiquant& antiquant_;
  std::int64_t channels_;
  float scale_[kTileKeys], offset_[kTileKeys];
};

}  // namespace npufa::cpu
