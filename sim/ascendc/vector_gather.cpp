// Gather, Gatherb and GatherMask: elements chosen by data.
#include <algorithm>
#include <bit>
#include <vector>

#include "vector_lanes.h"
#include "vector_registers.h"
#include "vector_sweep.h"

namespace npufa_sim {
namespace {

// Offsets decide what is read, so they are looked at before the instruction is issued - if they lie in their buffer;
// otherwise issuing reports them.
bool Readable(const TensorRef& ref, std::int64_t bytes) {
  return ref.address + static_cast<std::uint64_t>(bytes) <= std::min<std::uint64_t>(ref.end, SpaceBytes(ref.space));
}

std::uint32_t OffsetAt(const std::uint8_t* offsets, std::int64_t index) {
  std::uint32_t value;
  std::memcpy(&value, offsets + index * 4, sizeof value);
  return value;
}

// Pieces of a tensor that are read, neighbours joined.
class Pieces {
 public:
  Pieces(Instruction& ins, const TensorRef& tensor, std::uint32_t align) : ins_(ins), tensor_(tensor), rule_{align} {}
  ~Pieces() { Flush(); }

  void Add(std::int64_t offset, std::int64_t bytes) {
    if (bytes_ > 0 && offset == offset_ + bytes_) {
      bytes_ += bytes;
      return;
    }
    Flush();
    offset_ = offset;
    bytes_ = bytes;
  }
  void Flush() {
    if (bytes_ > 0) ins_.Read(tensor_, {offset_, bytes_}, rule_);
    bytes_ = 0;
  }

 private:
  Instruction& ins_;
  TensorRef tensor_;
  OperandRule rule_;
  std::int64_t offset_ = 0, bytes_ = 0;
};

}  // namespace

void VectorGather(const VectorTensor& dst, const TensorRef& src, const TensorRef& offsets, std::uint32_t base,
                  const VectorSweep& sweep) {
  RequireUnifiedBuffer(src, "Gather", sweep.site);
  RequireUnifiedBuffer(offsets, "Gather", sweep.site);
  VectorInstruction ins("Gather", sweep);
  const std::int64_t bytes = BitsOf(dst.dtype) / 8;
  ins.ins().Require(base % bytes == 0, "srcBaseAddr", base, "a multiple of the size of an element");
  ins.Operand(dst, false, true);
  ins.Resolve();
  ins.Describe();
  const ActiveElements& active = ins.active();
  const std::int64_t used =
      active.repeats == 0 ? 0 : (active.repeats - 1) * ins.lanes() + (active.by_bits ? ins.lanes() : active.last);
  std::vector<std::int64_t> from;
  {
    Pieces positions(ins.ins(), offsets, 4), elements(ins.ins(), src, static_cast<std::uint32_t>(bytes));
    const bool readable = Readable(offsets, used * 4);
    ins.ForEachActive([&](std::int64_t element, std::int64_t repeat, const std::int64_t*) {
      const std::int64_t index = repeat * ins.lanes() + element;
      positions.Add(index * 4, 4);
      if (!readable) return;
      from.push_back(std::int64_t{base} + OffsetAt(Bytes(offsets), index));
      elements.Add(from.back(), bytes);
    });
  }
  ins.Issue(OpClass::kVecGather);
  std::size_t next = 0;
  const std::uint8_t* source = Bytes(src);
  ins.ForEachActive([&](std::int64_t, std::int64_t, const std::int64_t* offset) {
    std::memcpy(ins.base()[0] + offset[0], source + from[next++], static_cast<std::size_t>(bytes));
  });
}

void VectorGatherBlocks(const VectorTensor& dst, const TensorRef& src, const TensorRef& offsets, std::int64_t repeat,
                        Site site) {
  constexpr std::int64_t kBlocks = 8;
  for (const TensorRef* ref : {&dst.ref, &src, &offsets}) RequireUnifiedBuffer(*ref, "Gatherb", site);
  Instruction ins("Gatherb", Pipe::kV, site);
  ins.Require(repeat >= 0 && repeat <= 255, "repeatTime", repeat, "0 to 255");
  RequireRange(ins, dst.ref, "block stride", dst.stride.block, dst.stride.block_max);
  RequireRange(ins, dst.ref, "repeat stride", dst.stride.repeat, dst.stride.repeat_max);
  CurrentMask().low = CurrentMask().high = ~std::uint64_t{0};
  if (repeat == 0) return;
  const std::int64_t block_bytes = std::max<std::int64_t>(dst.stride.block, 1) * kBlockBytes;  // 0 means 1
  const std::int64_t repeat_bytes = dst.stride.repeat * kBlockBytes, count = repeat * kBlocks;
  ins.Read(offsets, {0, count * 4}, kBlockAligned);
  ins.Write(dst.ref, {0, kBlockBytes, kBlocks, block_bytes, repeat, repeat_bytes}, kBlockAligned);
  if (Readable(offsets, count * 4)) {
    Pieces blocks(ins, src, kBlockBytes);
    for (std::int64_t i = 0; i < count; ++i) blocks.Add(OffsetAt(Bytes(offsets), i), kBlockBytes);
  }
  const std::int64_t bytes = BitsOf(dst.dtype) / 8;
  ins.Issue({OpClass::kVecGather, static_cast<std::uint32_t>(repeat),
             static_cast<std::uint32_t>(repeat * kRepeatBytes / bytes), static_cast<std::uint32_t>(bytes)});
  for (std::int64_t i = 0; i < count; ++i) {
    std::memmove(Bytes(dst.ref) + i / kBlocks * repeat_bytes + i % kBlocks * block_bytes,
                 Bytes(src) + OffsetAt(Bytes(offsets), i), static_cast<std::size_t>(kBlockBytes));
  }
}

namespace {

// Patterns 1 to 7 repeat every four elements.
bool InPattern(int pattern, std::int64_t element) {
  constexpr unsigned patterns[] = {0, 0b0101, 0b1010, 0b0001, 0b0010, 0b0100, 0b1000, 0b1111};
  return patterns[pattern] >> (element % 4) & 1;
}

void RequireGatherMask(Instruction& ins, const VectorTensor& src, const GatherMaskCall& call) {
  ins.Require(call.pattern >= 0 && call.pattern <= 7, "src1Pattern", call.pattern, "1 to 7");
  ins.Require(call.repeat >= 0 && call.repeat <= 65535, "repeatTimes", call.repeat, "0 to 65535");
  ins.Require(!call.counter || call.elements > 0, "mask", call.elements,
              "1 or more elements per repeat in counter mode");
  RequireRange(ins, src.ref, "block stride", src.stride.block, src.stride.block_max);
  RequireRange(ins, src.ref, "repeat stride", src.stride.repeat, src.stride.repeat_max);
  if (call.pattern > 0) return;
  RequireUnifiedBuffer(call.bits, ins.name(), ins.site());
  RequireRange(ins, call.bits, "repeat stride", call.bits_repeat_stride, call.bits_repeat_stride_max);
}

// Describes what is read, and returns where the elements lie that are kept.
std::vector<std::int64_t> ReadKept(Instruction& ins, const VectorTensor& src, const GatherMaskCall& call,
                                   std::int64_t per_repeat) {
  const std::int64_t size = BitsOf(src.dtype) / 8, per_block = kBlockBytes / size;
  const std::int64_t bit_bytes = (per_repeat + 7) / 8, bits_stride = call.bits_repeat_stride * kBlockBytes;
  const bool own_bits = call.pattern == 0;
  std::vector<std::int64_t> kept;
  Pieces elements(ins, src.ref, static_cast<std::uint32_t>(size));
  for (std::int64_t repeat = 0; repeat < call.repeat; ++repeat) {
    const std::uint8_t* bits = nullptr;
    if (own_bits) {
      ins.Read(call.bits, {repeat * bits_stride, bit_bytes}, kBlockAligned);
      if (!Readable(call.bits, repeat * bits_stride + bit_bytes)) return kept;
      bits = Bytes(call.bits) + repeat * bits_stride;
    }
    for (std::int64_t i = 0; i < per_repeat; ++i) {
      if (!(own_bits ? bits[i / 8] >> (i % 8) & 1 : InPattern(call.pattern, i))) continue;
      const std::int64_t block = repeat * src.stride.repeat + i / per_block * src.stride.block;
      kept.push_back(block * kBlockBytes + i % per_block * size);
      elements.Add(kept.back(), size);
    }
  }
  return kept;
}

}  // namespace

std::uint64_t VectorGatherMask(const TensorRef& dst, const VectorTensor& src, const GatherMaskCall& call, Site site) {
  RequireUnifiedBuffer(dst, "GatherMask", site);
  RequireUnifiedBuffer(src.ref, "GatherMask", site);
  Instruction ins("GatherMask", Pipe::kV, site);
  RequireGatherMask(ins, src, call);
  const std::int64_t size = BitsOf(src.dtype) / 8;
  const std::int64_t per_repeat = call.counter ? call.elements : kRepeatBytes / size;
  CurrentMask() = {call.elements, 0, false};
  const std::vector<std::int64_t> kept = ReadKept(ins, src, call, per_repeat);
  const std::int64_t count = static_cast<std::int64_t>(kept.size());
  if (count > 0) ins.Write(dst, {0, count * size}, kBlockAligned);
  const std::int64_t repeats = call.repeat * ((per_repeat * size + kRepeatBytes - 1) / kRepeatBytes);
  ins.Issue({OpClass::kVecGatherMask, static_cast<std::uint32_t>(repeats),
             static_cast<std::uint32_t>(call.repeat * per_repeat), static_cast<std::uint32_t>(size)});
  std::uint8_t* to = Bytes(dst);
  const std::uint8_t* from = Bytes(src.ref);
  for (std::int64_t i = 0; i < count; ++i) {
    std::memmove(to + i * size, from + kept[static_cast<std::size_t>(i)], static_cast<std::size_t>(size));
  }
  OfVectorCore().gathered = static_cast<std::uint64_t>(count);
  return static_cast<std::uint64_t>(count);
}

std::uint64_t GatherMaskCountRegister() { return OfVectorCore().gathered; }

}  // namespace npufa_sim
