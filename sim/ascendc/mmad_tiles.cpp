#include "mmad_tiles.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "float_rows.h"
#include "load_data_moves.h"
#include "mmad_kernel.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kTileRows = 16;

std::int64_t Fractals(std::int64_t elements, std::int64_t size) { return (elements + size - 1) / size; }

// HF32 keeps 11 of the 23 fraction bits.
float RoundToHf32(float value, bool ties_to_zero) {
  constexpr std::uint32_t kDropped = 12, kHalfway = 1U << (kDropped - 1);
  const std::uint32_t bits = BitsOf(value);
  if ((bits & 0x7f800000U) == 0x7f800000U) return value;
  const std::uint32_t up = ties_to_zero ? kHalfway - 1 : kHalfway - 1 + (bits >> kDropped & 1U);
  return FloatOf((bits + up) & ~((1U << kDropped) - 1));
}

// Unpack::Row turns 32 bytes into kElements floats.
struct UnpackHalf {
  static constexpr std::int64_t kElements = 16;
  static void Row(float* dst, const std::uint8_t* src) { HalfToFloatRow(dst, src, kElements); }
};

struct UnpackBfloat16 {
  static constexpr std::int64_t kElements = 16;
  static void Row(float* dst, const std::uint8_t* src) { Bfloat16ToFloatRow(dst, src, kElements); }
};

struct UnpackFloat {
  static constexpr std::int64_t kElements = 8;
  static void Row(float* dst, const std::uint8_t* src) { std::memcpy(dst, src, kRowBytes); }
};

template <bool ties_to_zero>
struct UnpackHf32 {
  static constexpr std::int64_t kElements = 8;
  static void Row(float* dst, const std::uint8_t* src) {
    std::memcpy(dst, src, kRowBytes);
    for (int i = 0; i < kElements; ++i) dst[i] = RoundToHf32(dst[i], ties_to_zero);
  }
};

struct UnpackInt8 {
  static constexpr std::int64_t kElements = 32;
  static void Row(float* dst, const std::uint8_t* src) {
    for (int i = 0; i < kElements; ++i) dst[i] = static_cast<float>(static_cast<std::int8_t>(src[i]));
  }
};

struct UnpackInt4 {
  static constexpr std::int64_t kElements = 64;
  static void Row(float* dst, const std::uint8_t* src) {
    for (int i = 0; i < kElements / 2; ++i) {
      dst[2 * i] = static_cast<float>(static_cast<std::int8_t>(src[i] << 4) >> 4);
      dst[2 * i + 1] = static_cast<float>(static_cast<std::int8_t>(src[i]) >> 4);
    }
  }
};

// Rows of a_fractals * c0 floats.
template <class Unpack>
void UnpackLeft(const MmadTile& t, float* dst) {
  constexpr std::int64_t c0 = Unpack::kElements;
  const std::int64_t used = Fractals(t.k, c0), stride = t.a_fractals * c0;
  for (std::int64_t row = 0; row < t.m; ++row) {
    const std::uint8_t* line = t.a + (row / kTileRows * t.a_fractals * kTileRows + row % kTileRows) * kRowBytes;
    const std::int64_t step = t.m == 1 ? kRowBytes : kFractalBytes;
    for (std::int64_t f = 0; f < used; ++f) Unpack::Row(dst + row * stride + f * c0, line + f * step);
  }
}

// Panels of 16 columns, each used * c0 rows of K; columns beyond n are zero.
template <class Unpack>
void UnpackRight(const MmadTile& t, float* dst) {
  constexpr std::int64_t c0 = Unpack::kElements;
  const std::int64_t used = Fractals(t.k, c0), panels = Fractals(t.n, kPanelColumns);
  float rows[kPanelColumns * c0];
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    const std::int64_t valid = std::min(kPanelColumns, t.n - panel * kPanelColumns);
    std::fill(rows + valid * c0, rows + kPanelColumns * c0, 0.0f);
    for (std::int64_t f = 0; f < used; ++f) {
      const std::uint8_t* fractal = t.b + (f * panels + panel) * kFractalBytes;
      for (std::int64_t i = 0; i < valid; ++i) Unpack::Row(rows + i * c0, fractal + i * kRowBytes);
      TransposePanel(dst + (panel * used + f) * c0 * kPanelColumns, rows, c0);
    }
  }
}

template <class Unpack>
void UnpackBoth(const MmadTile& t, float* left, float* right) {
  UnpackLeft<Unpack>(t, left);
  UnpackRight<Unpack>(t, right);
}

void Unpack(const MmadTile& t, float* left, float* right) {
  switch (t.input) {
    case MmadInput::kHalf: return UnpackBoth<UnpackHalf>(t, left, right);
    case MmadInput::kBfloat16: return UnpackBoth<UnpackBfloat16>(t, left, right);
    case MmadInput::kFloat: return UnpackBoth<UnpackFloat>(t, left, right);
    case MmadInput::kHf32NearestEven: return UnpackBoth<UnpackHf32<false>>(t, left, right);
    case MmadInput::kHf32NearestZero: return UnpackBoth<UnpackHf32<true>>(t, left, right);
    case MmadInput::kInt8: return UnpackBoth<UnpackInt8>(t, left, right);
    case MmadInput::kInt4: return UnpackBoth<UnpackInt4>(t, left, right);
  }
}

// Writes what the sums start from into every row of every panel of C.
void Initialise(const MmadTile& t, std::int64_t c_panel) {
  const std::int64_t panels = Fractals(t.n, kPanelColumns);
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    std::uint8_t* c = t.c + panel * c_panel * 4;
    if (t.start == MmadStart::kOtherTile) {
      std::memmove(c, t.initial + panel * c_panel * 4, t.m * kPanelColumns * 4);
      continue;
    }
    const std::int64_t valid = std::min(kPanelColumns, t.n - panel * kPanelColumns);
    for (std::int64_t row = 0; row < t.m; ++row) {
      std::memcpy(c + row * kPanelColumns * 4, t.initial + panel * kPanelColumns * 4, valid * 4);
    }
  }
}

// Products of small integers: exact in float as long as a sum has at most 1024 terms of up to 2^14.
void MultiplyIntegers(const MmadTile& t, PanelProduct product) {
  constexpr std::int64_t kExactTerms = 1024;
  thread_local std::vector<float> sums;
  const std::int64_t elements = product.panels * product.c_panel, k = product.k;
  sums.resize(elements);
  auto* c = reinterpret_cast<std::int32_t*>(t.c);
  bool fresh = t.start == MmadStart::kZero;
  product.c = sums.data();
  product.accumulate = false;
  for (std::int64_t first = 0; first < k; first += kExactTerms, fresh = false) {
    PanelProduct part = product;
    part.a += first;
    part.b += first * kPanelColumns;
    part.k = std::min(kExactTerms, k - first);
    Multiply(part);
    for (std::int64_t panel = 0; panel < product.panels; ++panel) {
      for (std::int64_t i = panel * product.c_panel; i < panel * product.c_panel + t.m * kPanelColumns; ++i) {
        const std::int64_t sum = (fresh ? 0 : std::int64_t{c[i]}) + static_cast<std::int64_t>(sums[i]);
        c[i] = static_cast<std::int32_t>(std::clamp<std::int64_t>(sum, std::numeric_limits<std::int32_t>::min(),
                                                                  std::numeric_limits<std::int32_t>::max()));
      }
    }
  }
}

constexpr std::uint32_t kSign = 0x80000000U;

bool AllZero(const float* values, std::int64_t count) {
  constexpr std::int64_t kStep = 1024;
  for (std::int64_t first = 0; first < count; first += kStep) {
    std::uint32_t any = 0;
    for (std::int64_t i = first; i < std::min(count, first + kStep); ++i) any |= BitsOf(values[i]);
    if ((any & ~kSign) != 0) return false;
  }
  return true;
}

bool AllFinite(const float* values, std::int64_t count) {
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, BitsOf(values[i]) & ~kSign);
  return largest < 0x7f800000U;
}

// Zero times finite numbers leaves a sum as it is, but for a negative zero. Masked tiles are zero, and so are tensors
// whose values nobody looks at.
bool LeavesSums(const PanelProduct& p, std::int64_t right) {
  const std::int64_t left = p.m * p.a_stride;
  const bool nothing = (AllZero(p.a, left) && AllFinite(p.b, right)) || (AllZero(p.b, right) && AllFinite(p.a, left));
  if (!nothing || !p.accumulate) return nothing;
  bool negative_zero = false;
  for (std::int64_t i = 0; i < p.panels * p.c_panel; ++i) negative_zero |= BitsOf(p.c[i]) == kSign;
  return !negative_zero;
}

void MultiplyFloats(const PanelProduct& p, std::int64_t right) {
  if (!LeavesSums(p, right)) return Multiply(p);
  for (std::int64_t panel = 0; panel < p.panels && !p.accumulate; ++panel) {
    std::fill_n(p.c + panel * p.c_panel, p.m * kPanelColumns, 0.0f);
  }
}

}  // namespace

void MultiplyTile(const MmadTile& t) {
  thread_local std::vector<float> left, right;
  const std::int64_t c0 = ElementsPerRow(t.input), used = Fractals(t.k, c0), panels = Fractals(t.n, kPanelColumns);
  const std::int64_t stride = t.a_fractals * c0, c_panel = Fractals(t.m, kTileRows) * kTileRows * kPanelColumns;
  left.resize(t.m * stride);
  right.resize(panels * used * c0 * kPanelColumns);
  Unpack(t, left.data(), right.data());
  if (t.start == MmadStart::kBiasRow || t.start == MmadStart::kOtherTile) Initialise(t, c_panel);
  PanelProduct product;
  product.a = left.data();
  product.b = right.data();
  product.c = reinterpret_cast<float*>(t.c);
  product.m = t.m;
  product.k = t.k;
  product.panels = panels;
  product.a_stride = stride;
  product.b_panel = used * c0 * kPanelColumns;
  product.c_panel = c_panel;
  product.accumulate = t.start != MmadStart::kZero;
  if (IsInteger(t.input)) {
    MultiplyIntegers(t, product);
  } else {
    MultiplyFloats(product, static_cast<std::int64_t>(right.size()));
  }
}

}  // namespace npufa_sim
