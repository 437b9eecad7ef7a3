// The instruction-set dependent part of the CPU backend: a table of tile primitives, one table per instruction set.
// Everything above it (loops, masks, layouts, work split) is compiled once and calls through the table.
//
// Conventions. Scores, probabilities and accumulators are float32. Where a comment names PadLane, the rows of the
// caller's buffer reach that far and the columns beyond `n` or `d` are written with zeros; elsewhere exactly `n` or `d`
// columns are written. Inputs are never read beyond their elements. `ld*` are distances between rows in elements.
// bfloat16 is passed as its bit pattern (uint16_t).
#pragma once

#include <cstdint>

#include "dtype.h"

namespace npufa::cpu {

inline constexpr std::int64_t kLane = 16;
inline constexpr std::int64_t kFixedLane = 64;  // of fixed_rows
inline constexpr std::int64_t kMaxTileRows = 96;

constexpr std::int64_t PadLane(std::int64_t n) { return (n + kLane - 1) / kLane * kLane; }

// Columns [begin[i], end[i]) of row i take part; null pointers mean all `n` columns of every row.
struct RowWindow {
  const std::int32_t* begin = nullptr;
  const std::int32_t* end = nullptr;
};

// Decode is given this many pointers behind those of its rows: to the rows read next, which are only fetched ahead.
inline constexpr std::int64_t kRowsAhead = 64;

// A tile in bfloat16, or one of a wider type as the sum of `count` such tiles that lie `stride` apart: each is what the
// ones before it leave of a value, rounded. Two hold a float16, three a float32, as exactly as their exponents allow.
inline constexpr std::int64_t kMaxPlanes = 3;
struct Bf16Planes {
  std::uint16_t* data = nullptr;
  std::int64_t ld = 0;
  std::int64_t count = 1;
  std::int64_t stride = 0;

  Bf16Planes From(std::int64_t offset) const { return {data + offset, ld, count, stride}; }
};

// The number of planes that gemm_bf16 is to be given for values of a type; 0 where gemm_f32 is faster.
struct PlaneCounts {
  std::int8_t bfloat16, float16, float32;

  std::int64_t Of(DType dtype) const {
    return dtype == DType::kBFloat16 ? bfloat16 : dtype == DType::kFloat16 ? float16 : float32;
  }
};

// Where products of tiles take so little time that three or six of them replace one in float32.
inline constexpr PlaneCounts kTilePlanes = {1, 2, 3};

struct Primitives {
  const char* name;  // "generic", "avx2", "avx512", "avx512_bf16", "amx", ...
  PlaneCounts planes;
  std::int64_t tile_rows;  // query rows of a score tile, at most kMaxTileRows

  // c[m,n] (+)= a[m,k] * b[k,n]. a(i,p) = a[i * a_row + p * a_col]; b and c are row-major; n % kLane == 0.
  void (*gemm_f32)(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_row,
                   std::int64_t a_col, const float* b, std::int64_t ldb, float* c, std::int64_t ldc, bool accumulate);
  // The same in bfloat16 with float32 accumulation; a is row-major; k is even and b is in pairs of rows:
  // b(p, j) = b[((p / 2) * ldb + j) * 2 + p % 2] (oneDNN's VNNI order); n % kLane == 0. Of the products of planes those
  // are left out that are below the last plane of the result.
  void (*gemm_bf16)(std::int64_t m, std::int64_t n, std::int64_t k, const Bf16Planes& a, const Bf16Planes& b, float* c,
                    std::int64_t ldc, bool accumulate);

  // Packing. rows[j], j < n, points at d contiguous elements of `dtype`: float32, float16, bfloat16, int8 or float8.
  // dst[j * ld + x], x < PadLane(d).
  void (*pack_f32)(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, float* dst, std::int64_t ld);
  // dst[x * ld + j], x < d, j < PadLane(n).
  void (*pack_transposed_f32)(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, float* dst,
                              std::int64_t ld);
  // Into planes, in each: dst[j * ld + x], x < PadLane(d).
  void (*pack_bf16)(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, const Bf16Planes& dst);
  // dst pairs rows j and j + 1: dst[((j / 2) * ld + x) * 2 + j % 2], x < PadLane(d); a zero row completes an odd n.
  void (*pack_vnni_bf16)(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, const Bf16Planes& dst);
  // dst pairs columns x and x + 1: dst[((x / 2) * ld + j) * 2 + x % 2], x < d rounded up to even, j < PadLane(n).
  void (*pack_transposed_vnni_bf16)(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d,
                                    const Bf16Planes& dst);
  // A float32 tile into planes, nearest even: dst[i * ld + j], j < PadLane(n) / transposed: dst[j * ld + i], j < n,
  // with i padded to an even count by zeros.
  void (*round_bf16)(std::int64_t m, std::int64_t n, const float* src, std::int64_t lds, const Bf16Planes& dst);
  void (*transpose_bf16)(std::int64_t m, std::int64_t n, const float* src, std::int64_t lds, const Bf16Planes& dst);

  // Online softmax of a tile (Milakov & Gimelshein 2018; FlashAttention). For each row i < m with running maximum
  // row_max[i] (-inf at first) and sum row_sum[i]:
  //   x_j = scores * scale on the window, new maximum M = max(row_max, x_j), correction[i] = exp(row_max - M) (1 when
  //   neither has a key), p_j = exp(x_j - M), 0 outside the window and where x_j is -inf; row_sum = row_sum *
  //   correction + sum p_j. NaN scores propagate into p and row_sum; where
  //   a row had nothing but NaN and masked scores, row_max becomes NaN, so that it cannot pass for a row without keys.
  // p is 0 below 2^-126.5 and within 2^-17 of its value where it goes to one or two planes.
  // A score of -inf is masked whatever the scale. p replaces the scores up to PadLane(n), or goes to `planes` (when
  // their data is not null), and the scores are left undefined.
  void (*softmax_rows)(std::int64_t m, std::int64_t n, float* scores, std::int64_t ld, RowWindow window, float scale,
                       float* row_max, float* row_sum, float* correction, const Bf16Planes& planes);
  // p_j = exp(scores * scale - shift[i]) * factor[i] in place, 0 outside the window and up to PadLane(n).
  void (*exp_rows)(std::int64_t m, std::int64_t n, float* scores, std::int64_t ld, RowWindow window, float scale,
                   const float* shift, const float* factor);
  // dp = p * (dp - delta[i]) * scale, in place, columns up to PadLane(n).
  void (*softmax_grad_rows)(std::int64_t m, std::int64_t n, const float* p, std::int64_t ldp, float* dp,
                            std::int64_t ldd, const float* delta, float scale);

  // s = cap * tanh(s * scale / cap); the derivative of tanh goes to `slopes`, a tile like s, where that is not null.
  void (*softcap_rows)(std::int64_t m, std::int64_t n, float* s, std::int64_t ld, float scale, float cap,
                       float* slopes);
  // One row of scores. s = s * scale + bias * bias_scale (bias contiguous, float types).
  void (*bias_row)(std::int64_t n, float* s, float scale, const void* bias, DType dtype, float bias_scale);
  // s = s * scale - slope * |distance + j|, or the square root of that distance.
  void (*alibi_row)(std::int64_t n, float* s, float scale, float slope, std::int64_t distance, bool square_root);
  // s = -inf where mask[j] != 0.
  void (*mask_row)(std::int64_t n, float* s, const std::uint8_t* mask);
  // Elements first .. first + n of the flat dropout mask (SPEC section 8): p * scale where kept, 0 elsewhere.
  void (*dropout_philox_row)(std::int64_t n, float* p, std::uint64_t seed, std::uint64_t offset, std::uint64_t first,
                             std::uint64_t threshold, float scale);
  void (*dropout_bits_row)(std::int64_t n, float* p, const std::uint8_t* bits, std::uint64_t first, float scale);
  // p = clamp(round_half_even(p * scale), -128, 127), kept as float32.
  void (*quantize_row)(std::int64_t n, float* p, float scale);

  // Few queries against many rows, without packing (decode): s[g * lds + j] = q[g * ldq + :] . rows[j][:], g < m.
  // rows[n .. n + kRowsAhead) are read, too, but not what they point at.
  void (*dot_rows)(std::int64_t m, std::int64_t n, std::int64_t d, const float* q, std::int64_t ldq,
                   const void* const* rows, DType dtype, float* s, std::int64_t lds);
  // o[g * ldo + x] += sum_j p[g * ldp + j] * rows[j][x], x < d.
  void (*accumulate_rows)(std::int64_t m, std::int64_t n, std::int64_t d, const float* p, std::int64_t ldp,
                          const void* const* rows, DType dtype, float* o, std::int64_t ldo);
  // The same for bfloat16 rows with q and p in bfloat16; null without such products.
  void (*dot_rows_bf16)(std::int64_t m, std::int64_t n, std::int64_t d, const std::uint16_t* q, std::int64_t ldq,
                        const void* const* rows, float* s, std::int64_t lds);
  void (*accumulate_rows_bf16)(std::int64_t m, std::int64_t n, std::int64_t d, const std::uint16_t* p, std::int64_t ldp,
                               const void* const* rows, float* o, std::int64_t ldo);
  // The same for int8 rows, d <= 512, products in integers; null without such products. q is given by fixed_rows; p is
  // rounded the same way, relative to the largest of every 64 in a row.
  void (*dot_rows_int8)(std::int64_t m, std::int64_t n, std::int64_t d, const std::int8_t* q_high,
                        const std::int8_t* q_low, std::int64_t ldq, const float* q_unit, const void* const* rows,
                        float* s, std::int64_t lds);
  void (*accumulate_rows_int8)(std::int64_t m, std::int64_t n, std::int64_t d, const float* p, std::int64_t ldp,
                               const void* const* rows, float* o, std::int64_t ldo);
  // x[i * ldx + j] = unit[i] * (256 * high[i * ld + j] + low[i * ld + j]) within half a unit, which is the largest
  // magnitude of the row / 32512 (NaN when the row is not finite); zeros up to a multiple of kFixedLane columns.
  void (*fixed_rows)(std::int64_t m, std::int64_t n, const float* x, std::int64_t ldx, std::int8_t* high,
                     std::int8_t* low, std::int64_t ld, float* unit);
  // int4 rows of d (even) elements, two in each byte, the lower half first, as int8: elements[j * d + x], -8 .. 7.
  // Reads pointers behind the last row, as dot_rows does.
  void (*unpack_int4)(std::int64_t n, std::int64_t d, const void* const* rows, std::int8_t* elements);

  // x[i * ld + j] *= factor[i].
  void (*scale_rows)(std::int64_t m, std::int64_t n, float* x, std::int64_t ld, const float* factor);
  // Contiguous conversion between float32 and a float type (float8 and int8 only as source).
  void (*to_f32)(std::int64_t n, const void* src, DType dtype, float* dst);
  void (*from_f32)(std::int64_t n, const float* src, float factor, DType dtype, void* dst);

  // Called by a worker thread when it is done; null when there is nothing to give back (AMX tiles).
  void (*release)() = nullptr;
};

}  // namespace npufa::cpu
