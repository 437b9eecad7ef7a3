// What the forward and the backward loops share: loading rows, windows of a row tile, bias, mask and dropout of scores.
#pragma once

#include "attention_spec.h"
#include "buffer.h"
#include "cpu/primitives/capability.h"
#include "nz_rows.h"

namespace npufa::cpu {

inline constexpr std::int64_t kTileKeys = 256;  // keys of a score tile: packed key and value stay in L2
// Distance added to leading dimensions so that rows of a power-of-two width do not share cache sets.
inline constexpr std::int64_t kSkew = 16;
inline constexpr std::int64_t kScoreLd = kTileKeys + kSkew;
// The same for rows of bfloat16: whole cache lines, which loads of tiles do not straddle.
inline constexpr std::int64_t kScoreLd16 = kTileKeys + 2 * kSkew;
// Multiply-adds below which other threads are not woken.
inline constexpr std::int64_t kSerialWork = 1 << 16;

// Gives back what a worker's products took from its thread.
class ProductsOfThread {
 public:
  explicit ProductsOfThread(const Primitives& primitives) : primitives_(primitives) {}
  ~ProductsOfThread() {
    if (primitives_.release) primitives_.release();
  }
  ProductsOfThread(const ProductsOfThread&) = delete;
  ProductsOfThread& operator=(const ProductsOfThread&) = delete;

 private:
  const Primitives& primitives_;
};

struct RowBlock {
  const void* const* rows;
  DType dtype;
};

// Rows of a RowSource as pointers: into storage, or into dequantised float32 copies.
class RowLoader {
 public:
  RowLoader(const Problem& problem, const Primitives& primitives, const RowSource& source, const Antiquant& antiquant,
            std::int64_t channels);
  RowBlock Load(const Sequence& s, std::int64_t head, std::int64_t first, std::int64_t count);

 private:
  void Dequantise(const Sequence& s, std::int64_t head, std::int64_t token, const void* stored, float* row) const;

  const Problem& problem_;
  const Primitives& primitives_;
  const RowSource& source_;
  const Antiquant& antiquant_;
  std::int64_t channels_, stride_;
  const void* pointers_[kTileKeys];
  NzRows nz_rows_;
  Buffer<float> scratch_;
};

// Consecutive query rows of one key/value head: row r is query token r % q_len of head head * group + r / q_len.
struct RowRange {
  const Sequence* sequence;
  std::int64_t kv_head;
  std::int64_t begin, end;

  std::int64_t Count() const { return end - begin; }
  std::int64_t Token(std::int64_t r) const { return r % sequence->q_len; }
  std::int64_t QueryHead(const Problem& p, std::int64_t r) const { return kv_head * p.Group() + r / sequence->q_len; }
};

// Columns [first, first + count) of a key tile.
struct Columns {
  std::int64_t first, count;
};

// Windows of up to kMaxTileRows rows against a key tile.
struct TileWindow {
  TileKind kind = TileKind::kSkipped;
  std::int32_t begin[kMaxTileRows], end[kMaxTileRows];

  void Classify(const RowRange& rows, std::int64_t first_key, std::int64_t keys);
  // The columns that `rows` rows need of a tile that is not skipped, from the start of a lane on. Windows count from
  // there afterwards. The products of a tile on the diagonal shrink by half.
  Columns Narrow(std::int64_t rows, std::int64_t keys);
  RowWindow Rows() const { return kind == TileKind::kFull ? RowWindow{} : RowWindow{begin, end}; }
};

// The keys any row of the range may see.
Window KeyRange(const RowRange& rows);

// Pointers to rows of a strided tensor in the order of `rows`.
void RowPointers(const Problem& p, const Strided& tensor, const RowRange& rows, const void** out);

// Multiplies `columns` channels of loaded rows by their scales, for a quantised query.
void ScaleQuery(const Problem& p, const RowRange& rows, std::int64_t columns, float* query, std::int64_t ld);

// Where the bias of keys [column, column + keys) of matrix row `row` is stored; columns past the stored ones have none.
struct StoredBiasRow {
  std::int64_t row, column, columns;
};
StoredBiasRow LocateBias(const Bias& bias, std::int64_t row, std::int64_t column, std::int64_t keys);

// Caps a tile of scores [rows x keys] and adds bias and mask. Returns the scale that is still to be applied. `slopes`:
// where capping has to leave its derivative, a tile like the scores.
float CapBiasAndMask(const Problem& p, const Primitives& primitives, const RowRange& rows, std::int64_t first_key,
                     std::int64_t keys, float* scores, std::int64_t ld, float* slopes = nullptr);

// Applies the dropout mask (kept values divided by keep_prob) to a tile of probabilities or their gradients.
void ApplyDropout(const Problem& p, const Primitives& primitives, const RowRange& rows, std::int64_t first_key,
                  std::int64_t keys, float* values, std::int64_t ld);

// Adds the gradient of a tile of biased scores to the gradient of the bias.
void AddBiasGradient(const Problem& p, const BackwardOutputs& out, const RowRange& tile, std::int64_t first_key,
                     std::int64_t keys, const float* grad, std::int64_t ld);

}  // namespace npufa::cpu
