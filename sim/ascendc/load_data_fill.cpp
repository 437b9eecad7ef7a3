#include <cstring>

#include "load_data_moves.h"

namespace npufa_sim {

void FillConstant(const TensorRef& dst, Dtype dtype, std::int64_t repeats, std::int64_t blocks, std::int64_t gap,
                  std::uint64_t value, Site site) {
  if (!CoreHas(Space::kL1)) return;
  const bool in_l1 = dst.space == Space::kL1;
  if (!in_l1 && dst.space != Space::kL0A && dst.space != Space::kL0B) {
    Unsupported(site, "InitConstValue", "of a memory other than L1, L0A and L0B");
  }
  const std::int64_t size = SizeOf(dtype);
  if (size != 2 && size != 4) Unsupported(site, "InitConstValue", "with elements of 1 or 8 bytes");
  const std::int64_t block = in_l1 ? kRowBytes : kFractalBytes;
  Instruction ins("InitConstValue", in_l1 ? Pipe::kMTE2 : Pipe::kMTE1, site);
  ins.Require(repeats >= 0 && repeats <= 32767, "repeatTimes", repeats, "0 to 32767");
  ins.Require(blocks >= 0 && blocks <= 32767, "blockNum", blocks, "0 to 32767");
  ins.Require(gap >= 0 && gap <= 32767, "dstGap", gap, "0 to 32767");
  if (repeats == 0 || blocks == 0) return;
  const Extent extent{0, blocks * block, repeats, (blocks + gap) * block};
  ins.Write(dst, extent, {static_cast<std::uint32_t>(block)});
  ins.Issue({OpClass::kFillL0, static_cast<std::uint32_t>(repeats * blocks * block)});

  std::uint8_t pattern[kRowBytes];
  for (std::int64_t at = 0; at < kRowBytes; at += size) std::memcpy(pattern + at, &value, size);
  for (std::int64_t repeat = 0; repeat < repeats; ++repeat) {
    std::uint8_t* out = Bytes(dst) + repeat * extent.block_stride;
    for (std::int64_t at = 0; at < extent.bytes; at += kRowBytes) std::memcpy(out + at, pattern, kRowBytes);
  }
}

}  // namespace npufa_sim
