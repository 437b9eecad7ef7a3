#include "fixpipe_convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "float_rows.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kMaxColumns = 16;
constexpr float kHalfMax = 65504.0f;

template <class T>
T Load(const std::uint8_t* src, std::int64_t index) {
  T value;
  std::memcpy(&value, src + index * sizeof(T), sizeof(T));
  return value;
}

// Towards int16_t after a shift, which the chip does before it multiplies.
float Widen(std::int32_t value, const QuantScale& scale) {
  if (scale.shift == 0) return static_cast<float>(value);
  return static_cast<float>(std::clamp(value >> scale.shift, -32768, 32767));
}

std::uint8_t ToByte(float value, const QuantScale& scale) {
  const int rounded = static_cast<int>(std::nearbyint(std::clamp(value, -256.0f, 255.0f))) + scale.offset;
  return static_cast<std::uint8_t>(scale.is_signed ? std::clamp(rounded, -128, 127) : std::clamp(rounded, 0, 255));
}

}  // namespace

QuantScale::QuantScale(std::uint64_t bits)
    : factor(FloatOf(static_cast<std::uint32_t>(bits) & 0xffffe000U)),
      shift((bits >> 36 & 1) != 0 ? static_cast<int>(bits >> 32 & 0xf) + 1 : 0),
      offset(static_cast<int>((bits >> 37 & 0x1ff) ^ 0x100) - 0x100), is_signed((bits >> 46 & 1) != 0) {}

bool ModeFits(QuantMode_t mode, Dtype src, Dtype dst) {
  const bool from_float = src == Dtype::kFloat, bytes = dst == Dtype::kInt8 || dst == Dtype::kUint8;
  switch (mode) {
    case NoQuant: return src == dst;
    case F322F16: return from_float && dst == Dtype::kHalf;
    case F322BF16: return from_float && dst == Dtype::kBfloat16;
    case DEQF16:
    case VDEQF16: return !from_float && dst == Dtype::kHalf;
    case QF322B8_PRE:
    case VQF322B8_PRE: return from_float && bytes;
    case REQ8:
    case VREQ8: return !from_float && bytes;
  }
  return false;
}

void FixpipeConverter::Row(std::uint8_t* dst, const std::uint8_t* src, std::int64_t column, std::int64_t count) const {
  if (IsScaled(mode_)) {
    Quantised(dst, src, column, count);
  } else {
    Plain(dst, src, count);
  }
}

void FixpipeConverter::Plain(std::uint8_t* dst, const std::uint8_t* src, std::int64_t count) const {
  if (Copies()) {
    std::memcpy(dst, src, 4 * count);
    return;
  }
  if (mode_ == NoQuant && dst_ == Dtype::kInt32) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int32_t value = std::max(Load<std::int32_t>(src, i), 0);
      std::memcpy(dst + 4 * i, &value, 4);
    }
    return;
  }
  float values[kMaxColumns];
  std::memcpy(values, src, 4 * count);
  if (relu_) {
    for (std::int64_t i = 0; i < count; ++i) values[i] = std::max(values[i], 0.0f);
  }
  switch (mode_) {
    case F322F16: return FloatToHalfRow(dst, values, count);
    case F322BF16: return FloatToBfloat16Row(dst, values, count);
    default: std::memcpy(dst, values, 4 * count);
  }
}

void FixpipeConverter::Quantised(std::uint8_t* dst, const std::uint8_t* src, std::int64_t column,
                                 std::int64_t count) const {
  const bool from_float = mode_ == QF322B8_PRE || mode_ == VQF322B8_PRE;
  for (std::int64_t i = 0; i < count; ++i) {
    const QuantScale scale(scales_[per_column_ ? column + i : 0]);
    const float value = from_float ? Load<float>(src, i) : Widen(Load<std::int32_t>(src, i), scale);
    const float scaled = value < 0 && relu_ ? 0.0f : value * scale.factor;
    if (dst_ == Dtype::kHalf) {
      const std::uint16_t bits = FloatToHalf(std::clamp(scaled, -kHalfMax, kHalfMax));
      std::memcpy(dst + 2 * i, &bits, sizeof bits);
    } else {
      dst[i] = ToByte(scaled, scale);
    }
  }
}

}  // namespace npufa_sim
