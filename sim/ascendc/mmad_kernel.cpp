#include "mmad_kernel.h"

#include <algorithm>
#include <cmath>
#include <utility>

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define NPUFA_SIM_X86 1
#endif

namespace npufa_sim {
namespace {

// A block of `rows` rows and one or more panels, starting at the given row and panel.
using Block = void (*)(const PanelProduct&, std::int64_t row, std::int64_t panel);

#if defined(NPUFA_SIM_X86)

template <int kRows, int kPanels>
__attribute__((target("avx512f"))) void BlockAvx512(const PanelProduct& p, std::int64_t row, std::int64_t panel) {
  const float* a = p.a + row * p.a_stride;
  const float* b = p.b + panel * p.b_panel;
  float* c = p.c + panel * p.c_panel + row * kPanelColumns;
  __m512 sum[kRows][kPanels];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kPanels; ++j) {
      sum[i][j] = p.accumulate ? _mm512_loadu_ps(c + j * p.c_panel + i * kPanelColumns) : _mm512_setzero_ps();
    }
  }
  for (std::int64_t k = 0; k < p.k; ++k) {
    __m512 right[kPanels];
    for (int j = 0; j < kPanels; ++j) right[j] = _mm512_loadu_ps(b + j * p.b_panel + k * kPanelColumns);
    for (int i = 0; i < kRows; ++i) {
      const __m512 left = _mm512_set1_ps(a[i * p.a_stride + k]);
      for (int j = 0; j < kPanels; ++j) sum[i][j] = _mm512_fmadd_ps(left, right[j], sum[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kPanels; ++j) _mm512_storeu_ps(c + j * p.c_panel + i * kPanelColumns, sum[i][j]);
  }
}

template <int kRows>
void BlockAvx2(const PanelProduct& p, std::int64_t row, std::int64_t panel) {
  const float* a = p.a + row * p.a_stride;
  const float* b = p.b + panel * p.b_panel;
  float* c = p.c + panel * p.c_panel + row * kPanelColumns;
  __m256 sum[kRows][2];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < 2; ++j) {
      sum[i][j] = p.accumulate ? _mm256_loadu_ps(c + i * kPanelColumns + 8 * j) : _mm256_setzero_ps();
    }
  }
  for (std::int64_t k = 0; k < p.k; ++k) {
    const __m256 right[2] = {_mm256_loadu_ps(b + k * kPanelColumns), _mm256_loadu_ps(b + k * kPanelColumns + 8)};
    for (int i = 0; i < kRows; ++i) {
      const __m256 left = _mm256_broadcast_ss(a + i * p.a_stride + k);
      for (int j = 0; j < 2; ++j) sum[i][j] = _mm256_fmadd_ps(left, right[j], sum[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < 2; ++j) _mm256_storeu_ps(c + i * kPanelColumns + 8 * j, sum[i][j]);
  }
}

#else

template <int kRows>
void BlockPortable(const PanelProduct& p, std::int64_t row, std::int64_t panel) {
  const float* a = p.a + row * p.a_stride;
  const float* b = p.b + panel * p.b_panel;
  float* c = p.c + panel * p.c_panel + row * kPanelColumns;
  float sum[kRows][kPanelColumns] = {};
  if (p.accumulate) std::copy(c, c + kRows * kPanelColumns, &sum[0][0]);
  for (std::int64_t k = 0; k < p.k; ++k) {
    for (int i = 0; i < kRows; ++i) {
      const float left = a[i * p.a_stride + k];
      for (int j = 0; j < kPanelColumns; ++j) sum[i][j] = std::fma(left, b[k * kPanelColumns + j], sum[i][j]);
    }
  }
  std::copy(&sum[0][0], &sum[0][0] + kRows * kPanelColumns, c);
}

#endif

// One block function for each number of rows from 1 to kRows.
template <int kRows>
struct BlockTable {
  Block block[kRows];
  int panels;
};

template <int kRows>
void Sweep(const PanelProduct& p, const BlockTable<kRows>& table, std::int64_t first_panel, std::int64_t last_panel) {
  for (std::int64_t panel = first_panel; panel < last_panel; panel += table.panels) {
    for (std::int64_t row = 0; row < p.m; row += kRows) {
      table.block[std::min<std::int64_t>(kRows, p.m - row) - 1](p, row, panel);
    }
  }
}

#if defined(NPUFA_SIM_X86)

template <int kPanels, int... kRow>
constexpr BlockTable<sizeof...(kRow)> TableAvx512(std::integer_sequence<int, kRow...>) {
  return {{BlockAvx512<kRow + 1, kPanels>...}, kPanels};
}

template <int... kRow>
constexpr BlockTable<sizeof...(kRow)> TableAvx2(std::integer_sequence<int, kRow...>) {
  return {{BlockAvx2<kRow + 1>...}, 1};
}

#else

template <int... kRow>
constexpr BlockTable<sizeof...(kRow)> TablePortable(std::integer_sequence<int, kRow...>) {
  return {{BlockPortable<kRow + 1>...}, 1};
}

#endif

}  // namespace

void Multiply(const PanelProduct& product) {
#if defined(NPUFA_SIM_X86)
  static const bool avx512 = __builtin_cpu_supports("avx512f");
  if (avx512) {
    static constexpr auto pairs = TableAvx512<2>(std::make_integer_sequence<int, 12>());
    static constexpr auto single = TableAvx512<1>(std::make_integer_sequence<int, 12>());
    const std::int64_t even = product.panels / 2 * 2;
    Sweep(product, pairs, 0, even);
    Sweep(product, single, even, product.panels);
    return;
  }
  static constexpr auto table = TableAvx2(std::make_integer_sequence<int, 6>());
#else
  static constexpr auto table = TablePortable(std::make_integer_sequence<int, 4>());
#endif
  Sweep(product, table, 0, product.panels);
}

namespace {

#if defined(NPUFA_SIM_X86)

void TransposeBlock(float* dst, const float* src, std::int64_t src_stride) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(src + i * src_stride);
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(dst + i * kPanelColumns, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(dst + (i + 4) * kPanelColumns, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

#else

void TransposeBlock(float* dst, const float* src, std::int64_t src_stride) {
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) dst[j * kPanelColumns + i] = src[i * src_stride + j];
  }
}

#endif

}  // namespace

void TransposePanel(float* dst, const float* src, std::int64_t columns) {
  for (std::int64_t row = 0; row < kPanelColumns; row += 8) {
    for (std::int64_t column = 0; column < columns; column += 8) {
      TransposeBlock(dst + column * kPanelColumns + row, src + row * columns + column, columns);
    }
  }
}

}  // namespace npufa_sim
