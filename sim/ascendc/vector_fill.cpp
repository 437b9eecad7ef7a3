// Duplicate, CreateVecIndex, ArithProgression, Brcb and Copy.
#include "chip/core_api.h"
#include "vector_lanes.h"
#include "vector_sweep.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kBlocksOfRepeat = 8;

template <class Raw>
void RunDuplicate(const VectorInstruction& ins, std::uint64_t scalar) {
  const typename Format<Raw>::Vec value = typename Format<Raw>::Vec{} + static_cast<Raw>(scalar);
  ins.ForEachBlock([&](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    MapLanes<Raw>(reinterpret_cast<Raw*>(p[0]), count, [=](std::int64_t, int) { return value; });
  });
}

// Element i of src fills block i of dst.
template <class Raw>
void BroadcastBlocks(std::uint8_t* dst, const std::uint8_t* src, std::int64_t repeat, const OperandStride& stride) {
  using Vec = typename Format<Raw>::Vec;
  for (std::int64_t i = 0; i < repeat * kBlocksOfRepeat; ++i) {
    Raw value;
    std::memcpy(&value, src + i * static_cast<std::int64_t>(sizeof value), sizeof value);
    const std::int64_t block = i / kBlocksOfRepeat * stride.repeat + i % kBlocksOfRepeat * stride.block;
    Raw* at = reinterpret_cast<Raw*>(dst + block * kBlockBytes);
    for (std::size_t j = 0; j < kBlockBytes / sizeof(Raw); j += kLanes) Format<Raw>::Store(at + j, Vec{} + value);
  }
}

// first + step * index, as the element type holds it.
void StoreProgression(Dtype dtype, std::uint8_t* at, std::uint64_t first, std::uint64_t step, std::int64_t index) {
  const auto bits_to_float = [](std::uint64_t bits) { return FloatOf(static_cast<std::uint32_t>(bits)); };
  const float factor = static_cast<float>(index);
  if (dtype == Dtype::kHalf) {
    const float start = HalfToFloat(static_cast<std::uint16_t>(first));
    const float slope = HalfToFloat(static_cast<std::uint16_t>(step));
    const std::uint16_t bits = FloatToHalf(start + slope * factor);
    std::memcpy(at, &bits, sizeof bits);
  } else if (dtype == Dtype::kFloat) {
    const float value = bits_to_float(first) + bits_to_float(step) * factor;
    std::memcpy(at, &value, sizeof value);
  } else {
    const std::uint64_t value = first + step * static_cast<std::uint64_t>(index);
    std::memcpy(at, &value, static_cast<std::size_t>(BitsOf(dtype) / 8));
  }
}

std::uint64_t OneOf(Dtype dtype) {
  if (dtype == Dtype::kHalf) return FloatToHalf(1.0f);
  return dtype == Dtype::kFloat ? BitsOf(1.0f) : 1;
}

}  // namespace

void VectorDuplicate(const VectorTensor& dst, std::uint64_t scalar, const VectorSweep& sweep) {
  VectorInstruction ins("Duplicate", sweep);
  ins.Operand(dst, false, true);
  ins.Resolve();
  ins.Describe();
  ins.Issue(OpClass::kVecDuplicate);
  if (BitsOf(dst.dtype) == 16) return RunDuplicate<std::uint16_t>(ins, scalar);
  RunDuplicate<std::uint32_t>(ins, scalar);
}

void VectorCopy(const VectorTensor& dst, const VectorTensor& src, const VectorSweep& sweep) {
  VectorInstruction ins("Copy", sweep);
  ins.Operand(dst, false, true);
  ins.Operand(src, true, false);
  ins.ResolvePerRepeat();
  ins.CheckOverlap(false);
  ins.CarryUndefined();
  ins.Describe();
  ins.Issue(OpClass::kVecCopy);
  const std::size_t bytes = static_cast<std::size_t>(BitsOf(dst.dtype) / 8);
  ins.ForEachBlock([=](std::uint8_t* const* p, std::int64_t count, const Walk&) {
    std::memmove(p[0], p[1], static_cast<std::size_t>(count) * bytes);
  });
}

void VectorIndex(const VectorTensor& dst, std::uint64_t first, const VectorSweep& sweep) {
  VectorInstruction ins("CreateVecIndex", sweep);
  ins.Operand(dst, false, true);
  ins.Resolve();
  ins.Describe();
  ins.Issue(OpClass::kVecDuplicate);
  const std::uint64_t one = OneOf(dst.dtype);
  ins.ForEachActive([&](std::int64_t element, std::int64_t repeat, const std::int64_t* offset) {
    StoreProgression(dst.dtype, ins.base()[0] + offset[0], first, one, repeat * ins.lanes() + element);
  });
}

void VectorProgression(const VectorTensor& dst, std::uint64_t first, std::uint64_t step, std::int64_t count,
                       Site site) {
  const VectorSweep sweep{MaskArgument::Elements(count), 1, site};
  VectorInstruction ins("ArithProgression", sweep);
  ins.Operand(dst, false, true);
  ins.Resolve();
  ins.Describe();
  ins.Issue(OpClass::kVecDuplicate);
  const std::int64_t bytes = BitsOf(dst.dtype) / 8;
  for (std::int64_t i = 0; i < count; ++i) StoreProgression(dst.dtype, ins.base()[0] + i * bytes, first, step, i);
}

void VectorBrcb(const VectorTensor& dst, const TensorRef& src, std::int64_t repeat, Site site) {
  RequireUnifiedBuffer(dst.ref, "Brcb", site);
  RequireUnifiedBuffer(src, "Brcb", site);
  Instruction ins("Brcb", Pipe::kV, site);
  ins.Require(repeat >= 0 && repeat <= 255, "repeatTime", repeat, "0 to 255");
  RequireRange(ins, dst.ref, "block stride", dst.stride.block, dst.stride.block_max);
  RequireRange(ins, dst.ref, "repeat stride", dst.stride.repeat, dst.stride.repeat_max);
  ins.Require(dst.stride.block > 0, "dst block stride", dst.stride.block, "1 or more");
  CurrentMask().low = CurrentMask().high = ~std::uint64_t{0};
  if (repeat == 0) return;
  const std::int64_t bytes = BitsOf(dst.dtype) / 8;
  const std::int64_t row_stride = dst.stride.repeat * kBlockBytes;
  Extent written{0, kBlockBytes, kBlocksOfRepeat, dst.stride.block * kBlockBytes, repeat, row_stride};
  if (dst.stride.block == 1) written = {0, kRepeatBytes, 1, 0, repeat, row_stride};
  if (dst.stride.block == 1 && dst.stride.repeat == 8) written = {0, kRepeatBytes * repeat};
  ins.Read(src, {0, kBlocksOfRepeat * repeat * bytes}, kBlockAligned).Write(dst.ref, written, kBlockAligned);
  ins.Issue({OpClass::kVecBrcb, static_cast<std::uint32_t>(repeat),
             static_cast<std::uint32_t>(repeat * kRepeatBytes / bytes), static_cast<std::uint32_t>(bytes)});
  const auto run = bytes == 2 ? BroadcastBlocks<std::uint16_t> : BroadcastBlocks<std::uint32_t>;
  run(Bytes(dst.ref), Bytes(src), repeat, dst.stride);
}

}  // namespace npufa_sim
