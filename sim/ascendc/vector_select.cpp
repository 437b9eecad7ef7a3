// Compare, Select and the CMPMASK register.
#include <algorithm>

#include "vector_lanes.h"
#include "vector_registers.h"
#include "vector_sweep.h"

namespace npufa_sim {
namespace {

// A bit for each lane that is not zero.
template <class Mask>
unsigned BitsOfMask(Mask mask) {
#if defined(NPUFA_SIM_AVX2)
  return static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
#else
  unsigned bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= (mask[i] & 1u) << i;
  return bits;
#endif
}

template <class Vec>
LanesI Compared(Comparison comparison, Vec a, Vec b) {
  switch (comparison) {
    case Comparison::kLess: return a < b;
    case Comparison::kGreater: return a > b;
    case Comparison::kEqual: return a == b;
    case Comparison::kLessEqual: return a <= b;
    case Comparison::kGreaterEqual: return a >= b;
    default: return a != b;
  }
}

// Calls f(T{}) for a type that can be compared.
template <class F>
void WithComparable(Dtype dtype, F&& f) {
  if (dtype == Dtype::kHalf) return f(half{});
  if (dtype == Dtype::kFloat) return f(float{});
  return f(std::int32_t{});
}

template <class T>
typename Format<T>::Vec SplatBits(std::uint64_t bits) {
  typename Format<T>::Raw lanes[kLanes], value;
  std::memcpy(&value, &bits, sizeof value);
  std::fill_n(lanes, kLanes, value);
  return Format<T>::Load(lanes);
}

// Whole repeats, whatever the mask says, and leaves the mask as it is.
void ResolveWholeRepeats(VectorInstruction& ins, const VectorSweep& sweep, Dtype dtype) {
  if (sweep.mask.kind == MaskArgument::kElements) {
    const std::int64_t count = static_cast<std::int64_t>(sweep.mask.low);
    ins.ins().Require(count * BitsOf(dtype) / 8 % kRepeatBytes == 0, "count", count,
                      "a multiple of the elements of 256 bytes: the chip compares whole repeats only");
  }
  const VectorMask before = CurrentMask();
  CurrentMask().counter = false;
  ins.Resolve();
  CurrentMask() = before;
}

VectorSweep AllElements(const VectorSweep& sweep) {
  VectorSweep all = sweep;
  if (all.mask.kind != MaskArgument::kElements) all.mask = {MaskArgument::kBits, ~std::uint64_t{0}, ~std::uint64_t{0}};
  return all;
}

void RequireComparison(Instruction& ins, Comparison comparison, Dtype dtype) {
  ins.Require(dtype != Dtype::kInt32 || comparison == Comparison::kEqual, "cmpMode", static_cast<int>(comparison),
              "CMPMODE::EQ for int32_t");
}

// Results of all repeats follow each other. `second` gives the lanes to compare with.
template <class T, class Second>
void RunCompare(const VectorInstruction& ins, Comparison comparison, std::uint8_t* dst, Second&& second) {
  ins.ForEachBlock([&](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    const auto* a = reinterpret_cast<const typename Format<T>::Raw*>(p[0]);
    for (std::int64_t i = 0; i < count; i += kLanes) {
      *dst++ = static_cast<std::uint8_t>(BitsOfMask(Compared(comparison, Format<T>::Load(a + i), second(p[1], i))));
    }
  });
}

void WriteComparison(VectorInstruction& ins, const TensorRef& dst) {
  RequireUnifiedBuffer(dst, ins.ins().name(), ins.ins().site());
  const std::int64_t bytes = ins.active().Total() / 8;
  ins.Describe();
  if (bytes > 0) ins.ins().Write(dst, {0, bytes}, kBlockAligned);
  ins.Issue(OpClass::kVecCompare);
}

}  // namespace

void VectorCompare(Comparison comparison, const TensorRef& dst, const VectorTensor& src0, const VectorTensor& src1,
                   const VectorSweep& sweep) {
  const VectorSweep all = AllElements(sweep);
  VectorInstruction ins("Compare", all);
  RequireComparison(ins.ins(), comparison, src0.dtype);
  ins.Operand(src0, true, false);
  ins.Operand(src1, true, false);
  ResolveWholeRepeats(ins, all, src0.dtype);
  WriteComparison(ins, dst);
  WithComparable(src0.dtype, [&](auto element) {
    using T = decltype(element);
    RunCompare<T>(ins, comparison, Bytes(dst), [](const std::uint8_t* b, std::int64_t i) {
      return Format<T>::Load(reinterpret_cast<const typename Format<T>::Raw*>(b) + i);
    });
  });
}

void VectorCompareScalar(Comparison comparison, const TensorRef& dst, const VectorTensor& src, std::uint64_t scalar,
                         const VectorSweep& sweep) {
  const VectorSweep all = AllElements(sweep);
  VectorInstruction ins("CompareScalar", all);
  RequireComparison(ins.ins(), comparison, src.dtype);
  ins.Operand(src, true, false);
  ResolveWholeRepeats(ins, all, src.dtype);
  WriteComparison(ins, dst);
  WithComparable(src.dtype, [&](auto element) {
    using T = decltype(element);
    const auto b = SplatBits<T>(scalar);
    RunCompare<T>(ins, comparison, Bytes(dst), [b](const std::uint8_t*, std::int64_t) { return b; });
  });
}

void VectorCompareToRegister(Comparison comparison, const VectorTensor& src0, const VectorTensor& src1,
                             const VectorSweep& sweep) {
  VectorInstruction ins("Compare", sweep);
  ins.Operand(src0, true, false);
  ins.Operand(src1, true, false);
  ins.Resolve();
  ins.ins().Require(ins.active().repeats <= 1, "repeatTime", ins.active().repeats, "1: the register holds one repeat");
  ins.Describe();
  ins.Issue(OpClass::kVecCompare);
  WithComparable(src0.dtype, [&](auto element) {
    using T = decltype(element);
    using Raw = typename Format<T>::Raw;
    ins.ForEachActive([&](std::int64_t lane, std::int64_t, const std::int64_t* offset) {
      const auto* a = reinterpret_cast<const Raw*>(ins.base()[0] + offset[0]);
      const auto* b = reinterpret_cast<const Raw*>(ins.base()[1] + offset[1]);
      const bool holds = Compared(comparison, LoadSome<T>(a, 1), LoadSome<T>(b, 1))[0] != 0;
      std::uint64_t& word = OfVectorCore().compare_mask[lane / 64];
      const std::uint64_t bit = std::uint64_t{1} << (lane % 64);
      word = holds ? word | bit : word & ~bit;
    });
  });
}

void SetCompareMask(const TensorRef& src, Site site) {
  RequireUnifiedBuffer(src, "SetCmpMask", site);
  Instruction ins("SetCmpMask", Pipe::kV, site);
  ins.Read(src, {0, 16}, {16}).Issue({OpClass::kVecSelect, 1, 1, 4});
  std::memcpy(OfVectorCore().compare_mask, Bytes(src), 16);
}

void GetCompareMask(const TensorRef& dst, Site site) {
  RequireUnifiedBuffer(dst, "GetCmpMask", site);
  Instruction ins("GetCmpMask", Pipe::kV, site);
  ins.Write(dst, {0, 16}, {16}).Issue({OpClass::kVecSelect, 1, 1, 4});
  std::memcpy(Bytes(dst), OfVectorCore().compare_mask, 16);
}

namespace {

// Modes 1 and 2 pass the scalar, or the address of the selection, through the end of the unified buffer.
void ReportReservedMemory(const char* name, Site site) {
  constexpr std::uint64_t kUsable = 184 * 1024;
  if (AllocatedBytes(Space::kUB) <= kUsable) return;
  Finding("reserved-memory", site, name,
          "modes 1 and 2 overwrite the last 8 KiB of the unified buffer, which is allocated",
          "keep buffers within the first 184 KiB where these modes are used");
}

// Ones where bit `bit` + i of p is set, for up to eight lanes.
LanesI SelectionAt(const std::uint8_t* p, std::int64_t bit, int count) {
  const int shift = static_cast<int>(bit % 8);
  unsigned bits = static_cast<unsigned>(p[bit / 8]) >> shift;
  if (shift + count > 8) bits |= static_cast<unsigned>(p[bit / 8 + 1]) << (8 - shift);
  return (SplatU(bits) & LanesU{1, 2, 4, 8, 16, 32, 64, 128}) != 0;
}

// `second` gives the lanes taken where the bit is 0.
template <class T, class Second>
void RunSelect(const VectorInstruction& ins, int selection, Second&& second) {
  using Raw = typename Format<T>::Raw;
  ins.ForEachBlock([&](std::uint8_t* const* p, std::int64_t count, const Walk& walk) {
    const Raw* a = reinterpret_cast<const Raw*>(p[1]);
    MapLanes<T>(reinterpret_cast<Raw*>(p[0]), count, [&](std::int64_t i, int n) {
      const LanesI chosen = SelectionAt(p[selection], walk.at[selection].bit + i, n);
      return chosen ? LoadSome<T>(a + i, n) : second(p[2], i, n);
    });
  });
}

template <class F>
void WithSelectable(Dtype dtype, F&& f) {
  if (dtype == Dtype::kHalf) return f(half{});
  return f(float{});
}

std::int64_t SelectionBytes(Dtype dtype) { return kRepeatBytes / BitsOf(dtype); }

template <class T>
auto FromTensor() {
  return [](const std::uint8_t* b, std::int64_t i, int n) {
    return LoadSome<T>(reinterpret_cast<const typename Format<T>::Raw*>(b) + i, n);
  };
}

void SelectScalar(const VectorTensor& dst, const TensorRef& selection, const VectorTensor& src0, std::uint64_t scalar,
                  const VectorSweep& sweep) {
  RequireUnifiedBuffer(selection, "Select", sweep.site);
  VectorInstruction ins("Select", sweep);
  ins.Operand(dst, false, true);
  ins.Operand(src0, true, false);
  ins.BitOperand(selection, SelectionBytes(dst.dtype));
  ins.Resolve();
  ins.CheckOverlap(false);
  ins.Describe();
  ins.Issue(OpClass::kVecSelect);
  WithSelectable(dst.dtype, [&](auto element) {
    using T = decltype(element);
    const auto b = SplatBits<T>(scalar);
    RunSelect<T>(ins, 2, [b](const std::uint8_t*, std::int64_t, int) { return b; });
  });
}

}  // namespace

void VectorSelect(SelectMode mode, const VectorTensor& dst, const TensorRef& selection, const VectorTensor& src0,
                  const VectorTensor& src1, const VectorSweep& sweep) {
  RequireUnifiedBuffer(selection, "Select", sweep.site);
  VectorInstruction ins("Select", sweep);
  ins.ins().Require(mode != SelectMode::kTensorScalar, "selMode", static_cast<int>(mode),
                    "VSEL_CMPMASK_SPR or VSEL_TENSOR_TENSOR_MODE with two tensors");
  ins.Operand(dst, false, true);
  ins.Operand(src0, true, false);
  ins.Operand(src1, true, false);
  ins.BitOperand(selection, mode == SelectMode::kRepeatedMask ? 0 : SelectionBytes(dst.dtype));
  ins.Resolve();
  ins.CheckOverlap(false);
  ins.Describe();
  if (mode == SelectMode::kTensorTensor) ReportReservedMemory("Select", sweep.site);
  ins.Issue(OpClass::kVecSelect);
  if (mode == SelectMode::kRepeatedMask) {
    std::memcpy(OfVectorCore().compare_mask, Bytes(selection), static_cast<std::size_t>(SelectionBytes(dst.dtype)));
  }
  WithSelectable(dst.dtype,
                 [&](auto element) { RunSelect<decltype(element)>(ins, 3, FromTensor<decltype(element)>()); });
}

void VectorSelectScalar(const VectorTensor& dst, const TensorRef& selection, const VectorTensor& src0,
                        std::uint64_t scalar, const VectorSweep& sweep) {
  ReportReservedMemory("Select", sweep.site);
  SelectScalar(dst, selection, src0, scalar, sweep);
}

void VectorSelectByRegister(const VectorTensor& dst, const VectorTensor& src0, const VectorTensor& src1,
                            const VectorSweep& sweep) {
  VectorInstruction ins("Select", sweep);
  ins.Operand(dst, false, true);
  ins.Operand(src0, true, false);
  ins.Operand(src1, true, false);
  ins.Resolve();
  ins.CheckOverlap(false);
  ins.Describe();
  ins.Issue(OpClass::kVecSelect);
  std::uint64_t bits[2] = {OfVectorCore().compare_mask[0], OfVectorCore().compare_mask[1]};
  WithSelectable(dst.dtype, [&](auto element) {
    using T = decltype(element);
    using Raw = typename Format<T>::Raw;
    ins.ForEachActive([&](std::int64_t lane, std::int64_t, const std::int64_t* offset) {
      const int source = bits[lane / 64] >> (lane % 64) & 1 ? 1 : 2;
      std::memcpy(ins.base()[0] + offset[0], ins.base()[source] + offset[source], sizeof(Raw));
    });
  });
}

void VectorSelectScalarInRegister(const VectorTensor& dst, const TensorRef& selection, const VectorTensor& src0,
                                  const VectorSweep& sweep) {
  SelectScalar(dst, selection, src0, OfVectorCore().compare_mask[0], sweep);
}

}  // namespace npufa_sim
