// Cast between element types.
#include <algorithm>

#include "vector_registers.h"
#include "vector_rounding.h"
#include "vector_sweep.h"

namespace npufa_sim {
namespace {

template <Rounding value>
struct RoundingConstant {
  static constexpr Rounding kValue = value;
};

template <class F>
void WithRounding(Rounding rounding, F&& f) {
  switch (rounding) {
    case Rounding::kFloor: return f(RoundingConstant<Rounding::kFloor>{});
    case Rounding::kCeil: return f(RoundingConstant<Rounding::kCeil>{});
    case Rounding::kNearestAway: return f(RoundingConstant<Rounding::kNearestAway>{});
    case Rounding::kTruncate: return f(RoundingConstant<Rounding::kTruncate>{});
    case Rounding::kOdd: return f(RoundingConstant<Rounding::kOdd>{});
    default: return f(RoundingConstant<Rounding::kNearestEven>{});
  }
}

// Converts groups of lanes; `convert` takes the lanes of S and gives those of D.
template <class D, class S, class Convert>
void RunLanes(const VectorInstruction& ins, Convert&& convert) {
  using RawD = typename Format<D>::Raw;
  using RawS = typename Format<S>::Raw;
  ins.ForEachBlock([&](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    const RawS* src = reinterpret_cast<const RawS*>(p[1]);
    MapLanes<D>(reinterpret_cast<RawD*>(p[0]), count,
                [&](std::int64_t i, int n) { return convert(LoadSome<S>(src + i, n)); });
  });
}

template <class D, class S, class Convert>
void RunElements(const VectorInstruction& ins, Convert&& convert) {
  ins.ForEachBlock([&](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    for (std::int64_t i = 0; i < count; ++i) {
      S value;
      std::memcpy(&value, p[1] + i * sizeof(S), sizeof value);
      const D result = convert(value);
      std::memcpy(p[0] + i * sizeof(D), &result, sizeof result);
    }
  });
}

template <class Integer, class S>
void RoundingToInteger(const VectorInstruction& ins, Rounding rounding) {
  using Vec = typename Format<Integer>::Vec;
  WithRounding(rounding, [&](auto mode) {
    RunLanes<Integer, S>(ins, [](LanesF v) {
      return __builtin_convertvector(SaturateTo<Integer>(RoundToInteger<decltype(mode)::kValue>(v)), Vec);
    });
  });
}

template <class S>
void RoundingToInt64(const VectorInstruction& ins, Rounding rounding) {
  WithRounding(rounding, [&](auto mode) {
    RunElements<std::int64_t, S>(ins, [](float v) -> std::int64_t {
      const float whole = RoundToInteger<decltype(mode)::kValue>(SplatF(v))[0];
      if (whole != whole) return 0;
      if (whole >= 0x1p63f) return std::numeric_limits<std::int64_t>::max();
      return whole < -0x1p63f ? std::numeric_limits<std::int64_t>::min() : static_cast<std::int64_t>(whole);
    });
  });
}

template <class S>
void RoundingToHalf(const VectorInstruction& ins, Rounding rounding) {
  WithRounding(rounding, [&](auto mode) {
    RunLanes<half, S>(
        ins, [](auto v) { return RoundToHalfValues<decltype(mode)::kValue>(__builtin_convertvector(v, LanesF)); });
  });
}

// The second half of Format<bfloat16_t>::Store, with any rounding.
void RoundingToBfloat16(const VectorInstruction& ins, Rounding rounding) {
  WithRounding(rounding, [&](auto mode) {
    RunLanes<std::uint16_t, float>(ins, [](LanesF v) { return RoundToBfloat16<decltype(mode)::kValue>(v); });
  });
}

template <class S>
void RoundingToFloat(const VectorInstruction& ins, Rounding rounding) {
  WithRounding(rounding, [&](auto mode) {
    constexpr Rounding kMode = decltype(mode)::kValue;
    if constexpr (std::is_same_v<S, std::int32_t> && kMode == Rounding::kNearestEven) {  // as the host rounds
      RunLanes<float, S>(ins, [](LanesI v) { return __builtin_convertvector(v, LanesF); });
    } else {
      RunElements<float, S>(ins, [](S v) { return IntegerToFloat<kMode>(v); });
    }
  });
}

// The earlier element lies in the low half of a byte.
void HalfToInt4(const VectorInstruction& ins, Rounding rounding) {
  WithRounding(rounding, [&](auto mode) {
    ins.ForEachBlock([](std::uint8_t* const* p, std::int64_t count, const Walk&) {
      const std::uint16_t* src = reinterpret_cast<const std::uint16_t*>(p[1]);
      const auto nibble = [&](std::int64_t i) {
        const LanesF whole = RoundToInteger<decltype(mode)::kValue>(SplatF(HalfToFloat(src[i])));
        return std::clamp(SaturateTo<std::int8_t>(whole)[0], -8, 7) & 15;
      };
      for (std::int64_t i = 0; i < count; i += 2) {
        p[0][i / 2] = static_cast<std::uint8_t>(nibble(i) | nibble(i + 1) << 4);
      }
    });
  });
}

void Int4ToHalf(const VectorInstruction& ins) {
  ins.ForEachBlock([](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    std::uint16_t* dst = reinterpret_cast<std::uint16_t*>(p[0]);
    for (std::int64_t i = 0; i < count; ++i) {
      const int nibble = p[1][i / 2] >> (i % 2 * 4) & 15;
      dst[i] = FloatToHalf(static_cast<float>(nibble < 8 ? nibble : nibble - 16));
    }
  });
}

void Int32ToHalf(const VectorInstruction& ins) {
  const float scale = HalfToFloat(static_cast<std::uint16_t>(OfVectorCore().dequant_scale));
  RunLanes<half, std::int32_t>(ins, [=](LanesI v) { return __builtin_convertvector(v, LanesF) * scale; });
}

void FromFloat(Dtype dst, Rounding rounding, const VectorInstruction& ins) {
  switch (dst) {
    case Dtype::kHalf: return RoundingToHalf<float>(ins, rounding);
    case Dtype::kBfloat16: return RoundingToBfloat16(ins, rounding);
    case Dtype::kInt16: return RoundingToInteger<std::int16_t, float>(ins, rounding);
    case Dtype::kInt32: return RoundingToInteger<std::int32_t, float>(ins, rounding);
    case Dtype::kInt64: return RoundingToInt64<float>(ins, rounding);
    default:
      return WithRounding(rounding, [&](auto mode) {
        RunLanes<float, float>(ins, [](LanesF v) { return RoundToInteger<decltype(mode)::kValue>(v); });
      });
  }
}

void FromHalf(Dtype dst, Rounding rounding, const VectorInstruction& ins) {
  switch (dst) {
    case Dtype::kInt4: return HalfToInt4(ins, rounding);
    case Dtype::kInt8: return RoundingToInteger<std::int8_t, half>(ins, rounding);
    case Dtype::kUint8: return RoundingToInteger<std::uint8_t, half>(ins, rounding);
    case Dtype::kInt16: return RoundingToInteger<std::int16_t, half>(ins, rounding);
    case Dtype::kInt32: return RoundingToInteger<std::int32_t, half>(ins, rounding);
    default: return RunLanes<float, half>(ins, [](LanesF v) { return v; });
  }
}

void FromInt32(Dtype dst, Rounding rounding, const VectorInstruction& ins) {
  switch (dst) {
    case Dtype::kHalf: return Int32ToHalf(ins);
    case Dtype::kInt16:
      return RunElements<std::int16_t, std::int32_t>(
          ins, [](std::int32_t v) { return static_cast<std::int16_t>(std::clamp(v, -32768, 32767)); });
    case Dtype::kInt64:
      return RunElements<std::int64_t, std::int32_t>(ins, [](std::int32_t v) { return std::int64_t{v}; });
    default: return RoundingToFloat<std::int32_t>(ins, rounding);
  }
}

void FromInt64(Dtype dst, Rounding rounding, const VectorInstruction& ins) {
  if (dst == Dtype::kFloat) return RoundingToFloat<std::int64_t>(ins, rounding);
  RunElements<std::int32_t, std::int64_t>(ins, [](std::int64_t v) {
    using Limits = std::numeric_limits<std::int32_t>;
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(v, Limits::min(), Limits::max()));
  });
}

void Run(Dtype dst, Dtype src, Rounding rounding, const VectorInstruction& ins) {
  const auto widened = [](auto v) { return __builtin_convertvector(v, LanesF); };
  switch (src) {
    case Dtype::kFloat: return FromFloat(dst, rounding, ins);
    case Dtype::kHalf: return FromHalf(dst, rounding, ins);
    case Dtype::kBfloat16:
      if (dst == Dtype::kInt32) return RoundingToInteger<std::int32_t, bfloat16_t>(ins, rounding);
      return RunLanes<float, bfloat16_t>(ins, [](LanesF v) { return v; });
    case Dtype::kInt4: return Int4ToHalf(ins);
    case Dtype::kInt8: return RunLanes<half, std::int8_t>(ins, widened);
    case Dtype::kUint8: return RunLanes<half, std::uint8_t>(ins, widened);
    case Dtype::kInt16:
      if (dst == Dtype::kHalf) return RoundingToHalf<std::int16_t>(ins, rounding);
      return RunLanes<float, std::int16_t>(ins, widened);
    case Dtype::kInt32: return FromInt32(dst, rounding, ins);
    default: return FromInt64(dst, rounding, ins);
  }
}

// Modes the chip has for a pair of types, a bit each in the order of Rounding.
int SupportedRoundings(Dtype dst, Dtype src) {
  constexpr int none = 1, five = 0b0111110, odd = 0b1000000;
  switch (src) {
    case Dtype::kFloat: return dst == Dtype::kHalf ? none | five | odd : five;
    case Dtype::kHalf:
      if (dst == Dtype::kFloat) return none;
      return dst == Dtype::kInt16 || dst == Dtype::kInt32 ? five : none | five;
    case Dtype::kBfloat16: return dst == Dtype::kFloat ? none : five;
    case Dtype::kInt16: return dst == Dtype::kHalf ? none | five : none;
    case Dtype::kInt32:
      if (dst == Dtype::kHalf) return none | five | odd;  // has no effect
      return dst == Dtype::kFloat ? none | five : none;
    case Dtype::kInt64: return dst == Dtype::kFloat ? five : none;
    default: return none;
  }
}

// Two 4-bit elements share a byte: none of them can be left out alone.
void RequirePairs(VectorInstruction& ins) {
  const ActiveElements& active = ins.active();
  if (active.by_bits) {
    const std::uint64_t unpaired =
        ((active.low ^ (active.low >> 1)) | (active.high ^ (active.high >> 1))) & 0x5555555555555555u;
    ins.ins().Require(unpaired == 0, "mask", static_cast<std::int64_t>(active.low),
                      "the same for both elements of a byte of int4b_t");
  } else {
    ins.ins().Require(active.full % 2 == 0 && active.last % 2 == 0, "count or mask", active.last, "even for int4b_t");
  }
}

}  // namespace

void VectorCast(const VectorTensor& dst, const VectorTensor& src, Rounding rounding, const VectorSweep& sweep) {
  VectorInstruction ins("Cast", sweep);
  const bool supported = SupportedRoundings(dst.dtype, src.dtype) >> static_cast<int>(rounding) & 1;
  ins.ins().Require(supported, "roundMode", static_cast<int>(rounding),
                    "one that the chip has for these element types");
  if (dst.dtype == Dtype::kHalf && src.dtype == Dtype::kInt32) {
    const std::int64_t set = static_cast<std::int64_t>(OfVectorCore().dequant_scale_set);
    ins.ins().Require(set != 0, "the scale", set, "set by SetDeqScale(half) before int32_t is cast to half");
  }
  ins.Operand(dst, false, true);
  ins.Operand(src, true, false);
  ins.Resolve();
  if (dst.dtype == Dtype::kInt4 || src.dtype == Dtype::kInt4) RequirePairs(ins);
  ins.CheckOverlap(false);
  ins.CarryUndefined();
  ins.Describe();
  ins.Issue(OpClass::kVecCast);
  Run(dst.dtype, src.dtype, rounding, ins);
}

void SetDequantScale(std::uint64_t bits) {
  OfVectorCore().dequant_scale = bits;
  OfVectorCore().dequant_scale_set = 1;
}

}  // namespace npufa_sim
