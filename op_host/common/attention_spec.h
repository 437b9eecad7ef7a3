// One attention call after validation: what every backend needs to know, in one vocabulary.
//
// Letters as in SPEC section 1: B batch, N query heads, Nkv key/value heads, Sq/Skv sequence lengths, D head size of query
// and key, Dv of value, T tokens of a packed batch.
#pragma once

#include "layout.h"
#include "mask_window.h"
#include "quantisation.h"

namespace npufa {

enum class CacheLayout {
  kNone,            // key and value are laid out as the query
  kBlockTokenH,     // (num_blocks, block_size, Nkv * D)
  kBlockTokenHead,  // (num_blocks, block_size, Nkv, D)
  kBlockHeadToken,  // (num_blocks, Nkv, block_size, D)
  kNz,              // (num_blocks, Nkv, D / C, block_size, C), where C elements make 32 bytes
};

enum class PseForm {
  kNone,
  kFull,        // (B or 1, N, Sq or 1, Skv)
  kCompressed,  // the last kAlibiRows rows of a causal ALiBi bias
  kSlopes,      // (N) or (B, N): the bias is generated
};

inline constexpr std::int64_t kAlibiRows = 1024;
inline constexpr std::int64_t kCompressedMask = 2048;
inline constexpr std::int64_t kCompressedPrefixMaskRows = 3072;
inline constexpr std::int64_t kStatisticsWidth = 8;  // floats per softmax statistic: one 32-byte block

template <class Int>
struct AttentionSpec {
  Layout q_layout = Layout::kBSH;
  Layout out_layout = Layout::kBSH;
  Int batch{0};      // sequences; B, or the number of lengths of a packed batch
  Int q_tokens{0};   // Sq, or T of the query
  Int kv_tokens{0};  // Skv without the shared prefix, or T of the key; columns x block_size of a paged cache
  Int heads{0}, kv_heads{0};
  Int head_dim{0}, value_dim{0}, rope_dim{0};
  Int stored_value_dim{0};              // channels of a row of value, of which value_dim are used
  DType dtype = DType::kFloat16;        // of the query
  DType float_dtype = DType::kFloat16;  // of ropes, biases, and an output that is not quantised
  DType kv_dtype = DType::kFloat16;     // of key and value as stored
  DType out_dtype = DType::kFloat16;
  bool int4_cache = false;

  SparseRule rule;
  PseForm pse = PseForm::kNone;
  std::int64_t pse_type = 0;
  bool pse_from_end = false;  // slopes: the last row of a sequence lies at its last key, not the first at the first
  QuantSpec quant;

  CacheLayout cache = CacheLayout::kNone;
  Int block_size{0}, num_blocks{0};
  bool left_padded_q = false, left_padded_kv = false;
  Int prefix_tokens{0};  // S of key_shared_prefix

  // Per sequence; empty: every sequence has Sq / Skv, or only the device knows. kv_lens without the prefix.
  std::vector<Int> q_lens, kv_lens;
  bool q_lens_on_device = false, kv_lens_on_device = false;
  bool plain_lens = false;  // lists of a packed batch were recognised as plain lengths

  bool IsPackedBatch() const { return IsPacked(q_layout); }
  bool LengthsOnDevice() const { return q_lens_on_device || kv_lens_on_device; }
  std::vector<Int> OutputSizes() const { return SizesOf(out_layout, batch, q_tokens, heads, value_dim); }
  std::vector<Int> LseSizes() const {
    return IsPackedBatch() ? std::vector<Int>{q_tokens, heads, Int(1)}
                           : std::vector<Int>{batch, heads, q_tokens, Int(1)};
  }
  std::vector<Int> StatisticsSizes() const {
    const Int width(kStatisticsWidth);
    return IsPackedBatch() ? std::vector<Int>{q_tokens, heads, width} : std::vector<Int>{batch, heads, q_tokens, width};
  }
};

}  // namespace npufa
