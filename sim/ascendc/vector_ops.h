// Vector instructions behind the Ascend C templates: element types and operations as values, one function per
// instruction class.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "chip/instruction.h"
#include "dtypes.h"
#include "field.h"

namespace npufa_sim {

using RepeatTime = Field<std::uint8_t>;

// In blocks of 32 bytes.
struct OperandStride {
  std::int64_t block = 1, repeat = 8;
  std::int64_t block_max = 255, repeat_max = 255;
};

// How a call says which elements take part.
struct MaskArgument {
  enum Kind {
    kElements,  // the first `low` elements of the tensor, whatever the mask mode
    kPrefix,    // the first `low` of each repeat
    kBits,      // a bit per element of a repeat; the number of elements in counter mode
    kRegister,  // what SetVectorMask left behind
  };
  Kind kind;
  std::uint64_t low = 0, high = 0;

  static MaskArgument Elements(std::int64_t count) { return {kElements, static_cast<std::uint64_t>(count), 0}; }
  static MaskArgument Prefix(std::uint64_t count) { return {kPrefix, count, 0}; }
  static MaskArgument Bits(const std::uint64_t mask[]) { return {kBits, mask[0], mask[1]}; }
  static MaskArgument Register() { return {kRegister}; }
};

template <bool set_mask>
MaskArgument MaskOf(std::uint64_t prefix) {
  return set_mask ? MaskArgument::Prefix(prefix) : MaskArgument::Register();
}
template <bool set_mask>
MaskArgument MaskOf(const std::uint64_t mask[]) {
  if constexpr (set_mask) return MaskArgument::Bits(mask);
  else return MaskArgument::Register();
}
template <bool set_mask = true>
MaskArgument CountOf(std::int64_t count) {
  return set_mask ? MaskArgument::Elements(count) : MaskArgument::Register();
}

struct VectorTensor {
  TensorRef ref;
  Dtype dtype;
  OperandStride stride;
};

// Which elements of which repeats: what every masked instruction takes.
struct VectorSweep {
  MaskArgument mask;
  std::int64_t repeat = 1;
  Site site;
  std::int64_t repeat_max = 255;
};

// Bits of a scalar operand, in the low bytes.
template <class T>
std::uint64_t ScalarBits(T value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

// ---- element by element ----

enum class BinaryOp : std::uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kAnd,
  kOr,
  kAddRelu,
  kSubRelu,
  kMulAddDst,    // dst + src0 * src1
  kFusedMulAdd,  // src0 * dst + src1
  kFusedMulAddRelu,
};
void VectorBinary(BinaryOp op, const VectorTensor& dst, const VectorTensor& src0, const VectorTensor& src1,
                  const VectorSweep& sweep);

enum class ScalarOp : std::uint8_t { kAdds, kMuls, kMaxs, kMins, kLeakyRelu, kShiftLeft, kShiftRight, kAxpy };
// `rounding`: ShiftRight adds the last bit shifted out.
void VectorScalar(ScalarOp op, const VectorTensor& dst, const VectorTensor& src, std::uint64_t scalar,
                  const VectorSweep& sweep, bool rounding = false);

enum class UnaryOp : std::uint8_t { kExp, kLn, kAbs, kReciprocal, kSqrt, kRsqrt, kRelu, kNot };
void VectorUnary(UnaryOp op, const VectorTensor& dst, const VectorTensor& src, const VectorSweep& sweep);

enum class Rounding : std::uint8_t { kNone, kNearestEven, kFloor, kCeil, kNearestAway, kTruncate, kOdd };
void VectorCast(const VectorTensor& dst, const VectorTensor& src, Rounding rounding, const VectorSweep& sweep);
void SetDequantScale(std::uint64_t bits);

void VectorCopy(const VectorTensor& dst, const VectorTensor& src, const VectorSweep& sweep);
void VectorDuplicate(const VectorTensor& dst, std::uint64_t scalar, const VectorSweep& sweep);

// ---- compare and select ----

enum class Comparison : std::uint8_t { kLess, kGreater, kEqual, kLessEqual, kGreaterEqual, kNotEqual };
// The mask plays no part; elements of a count form come as whole repeats.
void VectorCompare(Comparison comparison, const TensorRef& dst, const VectorTensor& src0, const VectorTensor& src1,
                   const VectorSweep& sweep);
void VectorCompareScalar(Comparison comparison, const TensorRef& dst, const VectorTensor& src, std::uint64_t scalar,
                         const VectorSweep& sweep);
// One repeat; the result goes to the CMPMASK register.
void VectorCompareToRegister(Comparison comparison, const VectorTensor& src0, const VectorTensor& src1,
                             const VectorSweep& sweep);
void SetCompareMask(const TensorRef& src, Site site);
void GetCompareMask(const TensorRef& dst, Site site);

enum class SelectMode : std::uint8_t { kRepeatedMask, kTensorScalar, kTensorTensor };
void VectorSelect(SelectMode mode, const VectorTensor& dst, const TensorRef& selection, const VectorTensor& src0,
                  const VectorTensor& src1, const VectorSweep& sweep);
void VectorSelectScalar(const VectorTensor& dst, const TensorRef& selection, const VectorTensor& src0,
                        std::uint64_t scalar, const VectorSweep& sweep);
// Selection, or the scalar, from the CMPMASK register.
void VectorSelectByRegister(const VectorTensor& dst, const VectorTensor& src0, const VectorTensor& src1,
                            const VectorSweep& sweep);
void VectorSelectScalarInRegister(const VectorTensor& dst, const TensorRef& selection, const VectorTensor& src0,
                                  const VectorSweep& sweep);

// ---- fill ----

void VectorBrcb(const VectorTensor& dst, const TensorRef& src, std::int64_t repeat, Site site);
void VectorIndex(const VectorTensor& dst, std::uint64_t first, const VectorSweep& sweep);
void VectorProgression(const VectorTensor& dst, std::uint64_t first, std::uint64_t step, std::int64_t count, Site site);

// ---- reductions ----

enum class ReduceOp : std::uint8_t { kMax, kMin, kSum };
enum class ReduceResult : std::uint8_t { kValueIndex, kIndexValue, kValue, kIndex };
// Of each repeat, each block, each pair. The destination's repeat stride counts results.
void VectorReduceRepeat(const char* name, ReduceOp op, ReduceResult result, const VectorTensor& dst,
                        const VectorTensor& src, const VectorSweep& sweep);
void VectorReduceBlock(const char* name, ReduceOp op, const VectorTensor& dst, const VectorTensor& src,
                       const VectorSweep& sweep);
void VectorReducePair(const VectorTensor& dst, const VectorTensor& src, const VectorSweep& sweep);
// Events the scalar part of a reduction of everything may use.
struct ReduceEvents {
  int vector_to_scalar = 0, scalar_to_vector = 0, scalar_to_mte3 = 0;
};
// Of everything, to dst[0], and the index to dst[1].
void VectorReduceAll(ReduceOp op, bool with_index, const VectorTensor& dst, const VectorTensor& src,
                     const TensorRef& work, const VectorSweep& sweep, const ReduceEvents& events);

// ---- gather and rearrange ----

void VectorGather(const VectorTensor& dst, const TensorRef& src, const TensorRef& offsets, std::uint32_t base,
                  const VectorSweep& sweep);
void VectorGatherBlocks(const VectorTensor& dst, const TensorRef& src, const TensorRef& offsets, std::int64_t repeat,
                        Site site);

struct GatherMaskCall {
  int pattern = 0;       // 1 to 7; 0: bits from a tensor
  TensorRef bits;        // of the width of the elements
  bool counter = false;  // `elements` per repeat instead of 256 bytes
  std::uint32_t elements = 0;
  std::int64_t repeat = 0;
  std::int64_t bits_repeat_stride = 0, bits_repeat_stride_max = 255;
};
std::uint64_t VectorGatherMask(const TensorRef& dst, const VectorTensor& src, const GatherMaskCall& call, Site site);
std::uint64_t GatherMaskCountRegister();

void VectorTranspose16(const TensorRef& dst, const TensorRef& src, Site site);
struct Transpose16Blocks {
  bool dst_high = false, src_high = false;  // half of a block, 8-bit elements
  std::int64_t repeat = 1, dst_stride = 0, src_stride = 0;
};
void VectorTransposeBlocks(Dtype dtype, const TensorRef dst[16], const TensorRef src[16], const Transpose16Blocks& call,
                           Site site);

// ---- mask ----

void SetMaskRegister(std::uint64_t high, std::uint64_t low);
void SetMaskPrefix(std::int64_t elements);
void SetMaskMode(bool counter);

}  // namespace npufa_sim
