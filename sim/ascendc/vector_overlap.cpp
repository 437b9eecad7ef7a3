// Which overlaps of a vector instruction's operands have a defined result.
#include <algorithm>
#include <string>
#include <vector>

#include "chip/core_api.h"
#include "vector_sweep.h"

namespace npufa_sim {
namespace {

struct Span {
  std::int64_t begin, end;
};

struct Layout {
  std::int64_t address, block_stride, repeat_stride;  // bytes
  std::int64_t blocks, last_blocks, repeats;          // blocks of every repeat, of the last one

  std::int64_t BlocksIn(std::int64_t repeat) const { return repeat + 1 < repeats ? blocks : last_blocks; }
  std::int64_t EndOf(std::int64_t repeat) const {
    return address + repeat * repeat_stride + (BlocksIn(repeat) - 1) * block_stride + kBlockBytes;
  }
  Span Whole() const { return {address, std::max(EndOf(repeats - 1), repeats > 1 ? EndOf(repeats - 2) : address)}; }
  std::int64_t BlockAt(std::int64_t repeat, std::int64_t block) const {
    return (address + repeat * repeat_stride + block * block_stride) / kBlockBytes;
  }
};

enum class Overlap { kHarmless, kPartial, kEarlierResult };

// Follows the repeats in order at the granularity of blocks.
Overlap Follow(const Layout& dst, const Layout& src, bool narrowing) {
  const std::int64_t first = std::min(dst.address, src.address) / kBlockBytes;
  const std::int64_t cells = std::max(dst.Whole().end, src.Whole().end) / kBlockBytes + 1 - first;
  std::vector<bool> written(cells, false);
  std::vector<std::int64_t> read_by(cells, -1);  // repeat x blocks + block
  for (std::int64_t repeat = 0; repeat < dst.repeats; ++repeat) {
    for (std::int64_t block = 0; block < src.BlocksIn(repeat); ++block) {
      const std::int64_t cell = src.BlockAt(repeat, block) - first;
      if (written[cell]) return Overlap::kEarlierResult;
      read_by[cell] = repeat * src.blocks + block;
    }
    for (std::int64_t block = 0; block < dst.BlocksIn(repeat); ++block) {
      const std::int64_t cell = dst.BlockAt(repeat, block) - first;
      const std::int64_t reader = read_by[cell];
      const bool same_repeat = reader >= 0 && reader / src.blocks == repeat;
      if (same_repeat && !narrowing && (dst.blocks != src.blocks || reader % src.blocks != block)) {
        return Overlap::kPartial;
      }
      written[cell] = true;
    }
  }
  return Overlap::kHarmless;
}

}  // namespace

void VectorInstruction::CheckOverlap(bool accumulates_into_last_source) {
  if (active_.repeats == 0) return;
  for (int i = 1; i < count_; ++i) {
    const OperandUse& source = operands_[i];
    const bool exempt =
        accumulates_into_last_source && i == count_ - 1 && (source.repeat_bytes == 0 || operands_[0].repeat_bytes == 0);
    if (!exempt) CheckOverlapWith(source);
  }
}

void VectorInstruction::CheckOverlapWith(const OperandUse& source) {
  const auto layout_of = [&](const OperandUse& operand) {
    const auto blocks = [&](std::int64_t elements) {
      if (active_.by_bits) elements = lanes_;
      return (elements * operand.bits + kBlockBytes * 8 - 1) / (kBlockBytes * 8);
    };
    const std::int64_t last = blocks(active_.last);
    return Layout{static_cast<std::int64_t>(operand.tensor.ref.address),
                  operand.block_bytes,
                  operand.repeat_bytes,
                  active_.repeats > 1 ? blocks(active_.full) : last,
                  last,
                  active_.repeats};
  };
  const Layout dst = layout_of(operands_[0]), src = layout_of(source);
  if (dst.Whole().end <= src.Whole().begin || src.Whole().end <= dst.Whole().begin) return;
  const bool in_place = dst.address == src.address && dst.block_stride == src.block_stride &&
                        dst.repeat_stride == src.repeat_stride && dst.blocks == src.blocks;
  if (in_place && (dst.repeats == 1 || dst.repeat_stride >= (dst.blocks - 1) * dst.block_stride + kBlockBytes)) return;
  const Overlap overlap = Follow(dst, src, operands_[0].bits < source.bits);
  if (overlap == Overlap::kHarmless) return;
  const std::string message =
      overlap == Overlap::kPartial
          ? std::string("dst overlaps ") + source.tensor.ref.name + " of the same repeat, but not block for block"
          : std::string("dst of a repeat overlaps ") + source.tensor.ref.name + " of a later repeat";
  Finding("overlap", ins_.site(), ins_.name(), message.c_str(),
          "the result is undefined: use the same address and strides for both, or separate memory");
}

}  // namespace npufa_sim
