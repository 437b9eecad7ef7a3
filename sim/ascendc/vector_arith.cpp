// Add ... FusedMulAddRelu, Adds ... Axpy, Exp ... Not: the same function of every element.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "chip/core_api.h"
#include "vector_lanes.h"
#include "vector_sweep.h"

namespace npufa_sim {
namespace {

// Calls f(T{}) with the host type of an arithmetic element type.
template <class F>
void WithType(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::kHalf: return f(half{});
    case Dtype::kFloat: return f(float{});
    case Dtype::kInt16: return f(std::int16_t{});
    case Dtype::kUint16: return f(std::uint16_t{});
    case Dtype::kInt32: return f(std::int32_t{});
    default: return f(std::uint32_t{});
  }
}

template <class T>
constexpr bool kFloating = std::is_same_v<T, half> || std::is_same_v<T, float>;

// Sums and products of integers keep their low bits; signed overflow must not reach the compiler.
template <class T>
struct WrappingLanes {
  using Type = typename Format<std::make_unsigned_t<T>>::Vec;
};
template <>
struct WrappingLanes<half> {
  using Type = LanesF;
};
template <>
struct WrappingLanes<float> {
  using Type = LanesF;
};

template <class T, class Combine>
typename Format<T>::Vec Wrapping(typename Format<T>::Vec a, typename Format<T>::Vec b, Combine&& combine) {
  using W = typename WrappingLanes<T>::Type;
  return reinterpret_cast<typename Format<T>::Vec>(combine(reinterpret_cast<W>(a), reinterpret_cast<W>(b)));
}

template <class Vec>
Vec LargerOf(Vec a, Vec b) {
  if constexpr (std::is_same_v<Vec, LanesF>) return Larger(a, b);
  else return a > b ? a : b;
}
template <class Vec>
Vec SmallerOf(Vec a, Vec b) {
  if constexpr (std::is_same_v<Vec, LanesF>) return Smaller(a, b);
  else return a < b ? a : b;
}

template <BinaryOp op, class T>
typename Format<T>::Vec Apply(typename Format<T>::Vec a, typename Format<T>::Vec b) {
  using Vec = typename Format<T>::Vec;
  if constexpr (op == BinaryOp::kAdd) return Wrapping<T>(a, b, [](auto x, auto y) { return x + y; });
  if constexpr (op == BinaryOp::kSub) return Wrapping<T>(a, b, [](auto x, auto y) { return x - y; });
  if constexpr (op == BinaryOp::kMul) return Wrapping<T>(a, b, [](auto x, auto y) { return x * y; });
  if constexpr (op == BinaryOp::kMax) return LargerOf(a, b);
  if constexpr (op == BinaryOp::kMin) return SmallerOf(a, b);
  if constexpr (op == BinaryOp::kAddRelu) return LargerOf(Apply<BinaryOp::kAdd, T>(a, b), Vec{});
  if constexpr (op == BinaryOp::kSubRelu) return LargerOf(Apply<BinaryOp::kSub, T>(a, b), Vec{});
  if constexpr (op == BinaryOp::kDiv && kFloating<T>) return a / b;
  if constexpr (op == BinaryOp::kAnd && !kFloating<T>) return a & b;
  if constexpr (op == BinaryOp::kOr && !kFloating<T>) return a | b;
  return a;
}

// The nearest number instead of the low bits: a mode of the vector unit that outlives a kernel.
template <BinaryOp op, class T>
class Integers {
 public:
  static constexpr bool kMaySaturate = std::is_integral_v<T> && std::is_signed_v<T> &&
                                       (op == BinaryOp::kAdd || op == BinaryOp::kSub || op == BinaryOp::kMul);
  using Vec = typename Format<T>::Vec;

  Vec Apply(Vec a, Vec b) {
    const Vec wrapped = npufa_sim::Apply<op, T>(a, b);
    if constexpr (kMaySaturate) {
      if (saturates_) return Nearest(a, b, wrapped);
    }
    return wrapped;
  }

  void Report(const VectorInstruction& ins) const {
    if (!overflow_ || !Control().Inherited(kIntegerSaturationBit)) return;
    Finding("inherited-mode", ins.site(), ins.name(), "overflows in the integer mode that an earlier kernel has left",
            "set_ctrl(sbitset0(get_ctrl(), 53)) at the start of the kernel keeps the low bits");
  }

 private:
  Vec Nearest(Vec a, Vec b, Vec wrapped) {
    constexpr std::int64_t kLeast = std::numeric_limits<T>::min(), kMost = std::numeric_limits<T>::max();
    for (std::size_t i = 0; i < sizeof(Vec) / sizeof(T); ++i) {
      const std::int64_t x = a[i], y = b[i];
      const std::int64_t exact = op == BinaryOp::kAdd ? x + y : op == BinaryOp::kSub ? x - y : x * y;
      if (exact == wrapped[i]) continue;
      overflow_ = true;
      wrapped[i] = static_cast<T>(std::clamp(exact, kLeast, kMost));
    }
    return wrapped;
  }

  const bool saturates_ = kMaySaturate && Control().Bit(kIntegerSaturationBit);
  bool overflow_ = false;
};

template <BinaryOp op, class T>
void RunBinary(const VectorInstruction& ins) {
  using Raw = typename Format<T>::Raw;
  Integers<op, T> integers;
  ins.ForEachBlock([&](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    const Raw* a = reinterpret_cast<const Raw*>(p[1]);
    const Raw* b = reinterpret_cast<const Raw*>(p[2]);
    MapLanes<T>(reinterpret_cast<Raw*>(p[0]), count,
                [&](std::int64_t i, int n) { return integers.Apply(LoadSome<T>(a + i, n), LoadSome<T>(b + i, n)); });
  });
  integers.Report(ins);
}

// dst takes part as an operand; the sum is rounded once.
template <BinaryOp op, class D, class S>
void RunFused(const VectorInstruction& ins) {
  using RawD = typename Format<D>::Raw;
  using RawS = typename Format<S>::Raw;
  ins.ForEachBlock([](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    RawD* dst = reinterpret_cast<RawD*>(p[0]);
    const RawS* src0 = reinterpret_cast<const RawS*>(p[1]);
    const RawS* src1 = reinterpret_cast<const RawS*>(p[2]);
    MapLanes<D>(dst, count, [=](std::int64_t i, int n) {
      const LanesF d = LoadSome<D>(dst + i, n), a = LoadSome<S>(src0 + i, n), b = LoadSome<S>(src1 + i, n);
      if constexpr (op == BinaryOp::kMulAddDst) return FusedMultiplyAdd(a, b, d);
      const LanesF sum = FusedMultiplyAdd(a, d, b);
      return op == BinaryOp::kFusedMulAddRelu ? Larger(sum, LanesF{}) : sum;
    });
  });
}

struct BinaryEntry {
  const char* name;
  OpClass cost;
  bool documented_accumulation;  // src1 may be the destination of earlier repeats
};

BinaryEntry EntryOf(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd: return {"Add", OpClass::kVecAdd, true};
    case BinaryOp::kSub: return {"Sub", OpClass::kVecAdd, true};
    case BinaryOp::kMul: return {"Mul", OpClass::kVecMul, true};
    case BinaryOp::kDiv: return {"Div", OpClass::kVecDiv, false};
    case BinaryOp::kMax: return {"Max", OpClass::kVecAdd, true};
    case BinaryOp::kMin: return {"Min", OpClass::kVecAdd, true};
    case BinaryOp::kAnd: return {"And", OpClass::kVecAdd, false};
    case BinaryOp::kOr: return {"Or", OpClass::kVecAdd, false};
    case BinaryOp::kAddRelu: return {"AddRelu", OpClass::kVecAdd, true};
    case BinaryOp::kSubRelu: return {"SubRelu", OpClass::kVecAdd, true};
    case BinaryOp::kMulAddDst: return {"MulAddDst", OpClass::kVecMul, false};
    case BinaryOp::kFusedMulAdd: return {"FusedMulAdd", OpClass::kVecMul, false};
    default: return {"FusedMulAddRelu", OpClass::kVecMul, false};
  }
}

template <BinaryOp op>
void RunFusedTypes(Dtype dst, Dtype src, const VectorInstruction& ins) {
  if (dst == Dtype::kHalf) return RunFused<op, half, half>(ins);
  if (src == Dtype::kHalf) return RunFused<op, float, half>(ins);
  return RunFused<op, float, float>(ins);
}

}  // namespace

void VectorBinary(BinaryOp op, const VectorTensor& dst, const VectorTensor& src0, const VectorTensor& src1,
                  const VectorSweep& sweep) {
  const BinaryEntry entry = EntryOf(op);
  const bool fused = op >= BinaryOp::kMulAddDst;
  VectorInstruction ins(entry.name, sweep);
  ins.Operand(dst, fused, true);
  ins.Operand(src0, true, false);
  ins.Operand(src1, true, false);
  ins.Resolve();
  ins.CheckOverlap(entry.documented_accumulation);
  ins.CarryUndefined();
  ins.Describe();
  ins.Issue(entry.cost);
  switch (op) {
    case BinaryOp::kMulAddDst: return RunFusedTypes<BinaryOp::kMulAddDst>(dst.dtype, src0.dtype, ins);
    case BinaryOp::kFusedMulAdd: return RunFusedTypes<BinaryOp::kFusedMulAdd>(dst.dtype, src0.dtype, ins);
    case BinaryOp::kFusedMulAddRelu: return RunFusedTypes<BinaryOp::kFusedMulAddRelu>(dst.dtype, src0.dtype, ins);
    default: break;
  }
  WithType(dst.dtype, [&](auto element) {
    using T = decltype(element);
    switch (op) {
      case BinaryOp::kAdd: return RunBinary<BinaryOp::kAdd, T>(ins);
      case BinaryOp::kSub: return RunBinary<BinaryOp::kSub, T>(ins);
      case BinaryOp::kMul: return RunBinary<BinaryOp::kMul, T>(ins);
      case BinaryOp::kDiv: return RunBinary<BinaryOp::kDiv, T>(ins);
      case BinaryOp::kMax: return RunBinary<BinaryOp::kMax, T>(ins);
      case BinaryOp::kMin: return RunBinary<BinaryOp::kMin, T>(ins);
      case BinaryOp::kAnd: return RunBinary<BinaryOp::kAnd, T>(ins);
      case BinaryOp::kOr: return RunBinary<BinaryOp::kOr, T>(ins);
      case BinaryOp::kAddRelu: return RunBinary<BinaryOp::kAddRelu, T>(ins);
      default: return RunBinary<BinaryOp::kSubRelu, T>(ins);
    }
  });
}

namespace {

template <class T>
typename Format<T>::Vec SplatBits(std::uint64_t bits) {
  if constexpr (std::is_same_v<T, half>) return SplatF(HalfToFloat(static_cast<std::uint16_t>(bits)));
  else {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return typename Format<T>::Vec{} + value;
  }
}

// Distances up to the width of an element, where a host's shifts are undefined.
template <class T>
typename Format<T>::Vec ShiftRightBy(typename Format<T>::Vec v, int distance, bool rounding) {
  using Vec = typename Format<T>::Vec;
  constexpr int kWidth = sizeof(T) * 8;
  if (distance == 0) return v;
  const Vec last_bit = (v >> (distance - 1)) & (Vec{} + T{1});
  const Vec shifted = distance < kWidth ? v >> distance : (v >> (kWidth - 1)) >> 1;
  return rounding ? shifted + last_bit : shifted;
}

template <class T>
typename Format<T>::Vec ShiftLeftBy(typename Format<T>::Vec v, int distance) {
  using U = typename WrappingLanes<T>::Type;
  if (distance == sizeof(T) * 8) return typename Format<T>::Vec{};
  return reinterpret_cast<typename Format<T>::Vec>(reinterpret_cast<U>(v) << distance);
}

template <ScalarOp op, class T>
void RunScalar(const VectorInstruction& ins, std::uint64_t scalar, bool rounding) {
  using Raw = typename Format<T>::Raw;
  using Vec = typename Format<T>::Vec;
  const Vec s = SplatBits<T>(scalar);
  Integers<op == ScalarOp::kAdds   ? BinaryOp::kAdd
           : op == ScalarOp::kMuls ? BinaryOp::kMul
                                   : BinaryOp::kMax,
           T>
      integers;
  const auto apply = [&](Vec v) -> Vec {
    if constexpr (op == ScalarOp::kAdds || op == ScalarOp::kMuls) return integers.Apply(v, s);
    if constexpr (op == ScalarOp::kMaxs) return LargerOf(v, s);
    if constexpr (op == ScalarOp::kMins) return SmallerOf(v, s);
    if constexpr (op == ScalarOp::kLeakyRelu && kFloating<T>) return v >= 0.0f ? v : v * s;
    if constexpr (op == ScalarOp::kShiftLeft && !kFloating<T>) return ShiftLeftBy<T>(v, static_cast<int>(scalar));
    if constexpr (op == ScalarOp::kShiftRight && !kFloating<T>) {
      return ShiftRightBy<T>(v, static_cast<int>(scalar), rounding);
    }
    return v;
  };
  ins.ForEachBlock([&](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    const Raw* src = reinterpret_cast<const Raw*>(p[1]);
    MapLanes<T>(reinterpret_cast<Raw*>(p[0]), count,
                [&](std::int64_t i, int n) { return apply(LoadSome<T>(src + i, n)); });
  });
  integers.Report(ins);
}

template <class D, class S>
void RunAxpy(const VectorInstruction& ins, std::uint64_t scalar) {
  using RawD = typename Format<D>::Raw;
  using RawS = typename Format<S>::Raw;
  const LanesF s = SplatBits<S>(scalar);
  ins.ForEachBlock([=](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    RawD* dst = reinterpret_cast<RawD*>(p[0]);
    const RawS* src = reinterpret_cast<const RawS*>(p[1]);
    MapLanes<D>(dst, count, [=](std::int64_t i, int n) {
      return FusedMultiplyAdd(LoadSome<S>(src + i, n), s, LoadSome<D>(dst + i, n));
    });
  });
}

const char* NameOf(ScalarOp op) {
  constexpr const char* names[] = {"Adds", "Muls", "Maxs", "Mins", "LeakyRelu", "ShiftLeft", "ShiftRight", "Axpy"};
  return names[static_cast<int>(op)];
}

}  // namespace

void VectorScalar(ScalarOp op, const VectorTensor& dst, const VectorTensor& src, std::uint64_t scalar,
                  const VectorSweep& sweep, bool rounding) {
  const bool shift = op == ScalarOp::kShiftLeft || op == ScalarOp::kShiftRight;
  VectorInstruction ins(NameOf(op), sweep);
  ins.Operand(dst, op == ScalarOp::kAxpy, true);
  ins.Operand(src, true, false);
  if (shift) {
    const int bits = BitsOf(src.dtype);
    const std::int64_t distance = bits == 16 ? static_cast<std::int16_t>(scalar) : static_cast<std::int32_t>(scalar);
    ins.ins().Require(distance >= 0 && distance <= bits, "scalarValue", distance, "0 to the bits of an element");
  }
  ins.Resolve();
  ins.CheckOverlap(false);
  ins.CarryUndefined();
  ins.Describe();
  ins.Issue(shift ? OpClass::kVecAdd : OpClass::kVecScalar);
  if (op == ScalarOp::kAxpy) {
    if (dst.dtype == Dtype::kHalf) return RunAxpy<half, half>(ins, scalar);
    if (src.dtype == Dtype::kHalf) return RunAxpy<float, half>(ins, scalar);
    return RunAxpy<float, float>(ins, scalar);
  }
  WithType(dst.dtype, [&](auto element) {
    using T = decltype(element);
    switch (op) {
      case ScalarOp::kAdds: return RunScalar<ScalarOp::kAdds, T>(ins, scalar, false);
      case ScalarOp::kMuls: return RunScalar<ScalarOp::kMuls, T>(ins, scalar, false);
      case ScalarOp::kMaxs: return RunScalar<ScalarOp::kMaxs, T>(ins, scalar, false);
      case ScalarOp::kMins: return RunScalar<ScalarOp::kMins, T>(ins, scalar, false);
      case ScalarOp::kLeakyRelu: return RunScalar<ScalarOp::kLeakyRelu, T>(ins, scalar, false);
      case ScalarOp::kShiftLeft: return RunScalar<ScalarOp::kShiftLeft, T>(ins, scalar, false);
      default: return RunScalar<ScalarOp::kShiftRight, T>(ins, scalar, rounding);
    }
  });
}

namespace {

template <UnaryOp op, class T>
void RunUnary(const VectorInstruction& ins) {
  using Raw = typename Format<T>::Raw;
  using Vec = typename Format<T>::Vec;
  const auto apply = [](Vec v) -> Vec {
    if constexpr (op == UnaryOp::kRelu) return LargerOf(v, Vec{});
    if constexpr (op == UnaryOp::kNot && !kFloating<T>) return ~v;
    if constexpr (kFloating<T>) {
      if constexpr (op == UnaryOp::kExp) return Exponential(v);
      if constexpr (op == UnaryOp::kLn) return Logarithm(v);
      if constexpr (op == UnaryOp::kAbs) return Absolute(v);
      if constexpr (op == UnaryOp::kReciprocal) return 1.0f / v;
      if constexpr (op == UnaryOp::kSqrt) return SquareRoot(v);
      if constexpr (op == UnaryOp::kRsqrt) return 1.0f / SquareRoot(v);
    }
    return v;
  };
  ins.ForEachBlock([&](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    const Raw* src = reinterpret_cast<const Raw*>(p[1]);
    MapLanes<T>(reinterpret_cast<Raw*>(p[0]), count,
                [=](std::int64_t i, int n) { return apply(LoadSome<T>(src + i, n)); });
  });
}

struct UnaryEntry {
  const char* name;
  OpClass cost;
};

UnaryEntry EntryOf(UnaryOp op) {
  switch (op) {
    case UnaryOp::kExp: return {"Exp", OpClass::kVecExp};
    case UnaryOp::kLn: return {"Ln", OpClass::kVecExp};
    case UnaryOp::kAbs: return {"Abs", OpClass::kVecAdd};
    case UnaryOp::kReciprocal: return {"Reciprocal", OpClass::kVecRsqrt};
    case UnaryOp::kSqrt: return {"Sqrt", OpClass::kVecExp};
    case UnaryOp::kRsqrt: return {"Rsqrt", OpClass::kVecRsqrt};
    case UnaryOp::kRelu: return {"Relu", OpClass::kVecAdd};
    default: return {"Not", OpClass::kVecAdd};
  }
}

}  // namespace

void VectorUnary(UnaryOp op, const VectorTensor& dst, const VectorTensor& src, const VectorSweep& sweep) {
  const UnaryEntry entry = EntryOf(op);
  VectorInstruction ins(entry.name, sweep);
  ins.Operand(dst, false, true);
  ins.Operand(src, true, false);
  ins.Resolve();
  ins.CheckOverlap(false);
  ins.CarryUndefined();
  ins.Describe();
  ins.Issue(entry.cost);
  WithType(dst.dtype, [&](auto element) {
    using T = decltype(element);
    switch (op) {
      case UnaryOp::kExp: return RunUnary<UnaryOp::kExp, T>(ins);
      case UnaryOp::kLn: return RunUnary<UnaryOp::kLn, T>(ins);
      case UnaryOp::kAbs: return RunUnary<UnaryOp::kAbs, T>(ins);
      case UnaryOp::kReciprocal: return RunUnary<UnaryOp::kReciprocal, T>(ins);
      case UnaryOp::kSqrt: return RunUnary<UnaryOp::kSqrt, T>(ins);
      case UnaryOp::kRsqrt: return RunUnary<UnaryOp::kRsqrt, T>(ins);
      case UnaryOp::kRelu: return RunUnary<UnaryOp::kRelu, T>(ins);
      default: return RunUnary<UnaryOp::kNot, T>(ins);
    }
  });
}

}  // namespace npufa_sim
