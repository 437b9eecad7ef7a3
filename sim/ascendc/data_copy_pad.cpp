#include <cstring>

#include "atomic_write.h"
#include "core_registers.h"
#include "data_copy_moves.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kBlock = 32;
constexpr std::int64_t kMaxBlocks = 4095;
constexpr std::int64_t kMaxBytes = 2097151;
constexpr std::int64_t kMax16 = 65535;
constexpr std::int64_t kMax32 = 0xffffffff;

std::int64_t RoundUp(std::int64_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

struct Blocks {
  std::int64_t count, bytes, src_stride, dst_stride;
};

Blocks CheckedBlocks(Instruction& ins, const AscendC::DataCopyExtParams& params, std::int64_t element) {
  const Blocks blocks{Checked(ins, "blockCount", params.blockCount, 0, kMaxBlocks, "0 to 4095"),
                      Checked(ins, "blockLen", params.blockLen, 0, kMaxBytes, "0 to 2097151 bytes"),
                      Checked(ins, "srcStride", params.srcStride, 0, kMax32, "0 to 2^32 - 1"),
                      Checked(ins, "dstStride", params.dstStride, 0, kMax32, "0 to 2^32 - 1")};
  ins.Require(blocks.bytes % element == 0, "blockLen", blocks.bytes, "a multiple of the element's bytes");
  return blocks;
}

void FillElements(std::uint8_t* dst, std::int64_t bytes, const std::uint8_t* element, std::int64_t size) {
  for (std::int64_t i = 0; i < bytes; ++i) dst[i] = element[i % size];
}

}  // namespace

AscendC::DataCopyExtParams ExtParamsOf(const AscendC::DataCopyParams& params, Site site) {
  Instruction ins("DataCopyPad", Pipe::kMTE2, site);
  AscendC::DataCopyExtParams ext;
  ext.blockCount = params.blockCount;
  ext.blockLen = Checked(ins, "blockLen", params.blockLen, 0, kMax16, "0 to 65535 bytes");
  ext.srcStride = Checked(ins, "srcStride", params.srcStride, 0, kMax16, "0 to 65535");
  ext.dstStride = Checked(ins, "dstStride", params.dstStride, 0, kMax16, "0 to 65535");
  return ext;
}

void SetPadRegister(std::uint64_t value) {
  if (!CoreHas(Space::kUB)) return;
  Registers().pad_value = value;
  Registers().pad_value_set = 1;
}

// A block in UB: left padding, data, right padding, and a filling up to 32 bytes. The filling repeats the first element
// of the data when there is no padding, else it continues the padding.
void CopyPadToUb(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::DataCopyExtParams& params,
                 const Padding& padding, Site site) {
  if (!CoreHas(Space::kUB)) return;
  if (dst.space != Space::kUB) Unsupported(site, "DataCopyPad", "from GM to a memory other than UB");
  const std::int64_t size = SizeOf(dtype);
  Instruction ins("DataCopyPad", Pipe::kMTE2, site);
  const auto [count, bytes, src_stride, dst_stride] = CheckedBlocks(ins, params, size);
  const std::int64_t left = padding.left * size, right = padding.right * size;
  ins.Require(left <= kBlock, "leftPadding in bytes", left, "at most 32");
  ins.Require(right <= kBlock, "rightPadding in bytes", right, "at most 32");
  ins.Require(size < 8 || !padding.given || padding.value == 0, "paddingValue of a 64-bit type",
              static_cast<std::int64_t>(padding.value), "0");
  if (padding.given) SetPadRegister(padding.value);
  if (count == 0 || bytes == 0) return;

  const bool padded = left + right > 0;
  const std::int64_t whole = RoundUp(left + bytes + right);
  const Extent from{0, bytes, count, bytes + src_stride};
  const Extent to{0, whole, count, whole + dst_stride * kBlock};
  ins.Read(src, from, {static_cast<std::uint32_t>(size)});
  OperandRule rule{32};
  rule.undefined = padded && !Registers().pad_value_set;
  ins.Write(dst, to, rule);
  if (rule.undefined) ins.Write(dst, {left, bytes, count, to.block_stride});
  ins.Issue({OpClass::kGmToUb, static_cast<std::uint32_t>(count * bytes), static_cast<std::uint32_t>(count),
             static_cast<std::uint32_t>(bytes)});

  std::uint8_t pad[8];
  std::memcpy(pad, &Registers().pad_value, sizeof pad);
  std::uint8_t* out = Bytes(dst);
  const std::uint8_t* in = Bytes(src);
  for (std::int64_t i = 0; i < count; ++i, out += to.block_stride, in += from.block_stride) {
    const std::uint8_t* filling = padded ? pad : in;
    FillElements(out, left, filling, size);
    std::memcpy(out + left, in, bytes);
    FillElements(out + left + bytes, whole - left - bytes, filling, size);
  }
}

void CopyPadToGm(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::DataCopyExtParams& params,
                 Site site) {
  if (!CoreHas(Space::kUB)) return;
  if (src.space != Space::kUB) Unsupported(site, "DataCopyPad", "to GM from a memory other than UB");
  Instruction ins("DataCopyPad", Pipe::kMTE3, site);
  const auto [count, bytes, src_stride, dst_stride] = CheckedBlocks(ins, params, SizeOf(dtype));
  if (count == 0 || bytes == 0) return;

  const Extent from{0, bytes, count, RoundUp(bytes) + src_stride * kBlock};
  const Extent to{0, bytes, count, bytes + dst_stride};
  ins.Read(src, from, kBlockAligned);
  const GmWriter writer = GmWriter(ins, dst, dtype).Operand(to);
  ins.Issue({OpClass::kUbToGm, static_cast<std::uint32_t>(count * bytes), static_cast<std::uint32_t>(count),
             static_cast<std::uint32_t>(bytes)});

  std::uint8_t* out = Bytes(dst);
  const std::uint8_t* in = Bytes(src);
  for (std::int64_t i = 0; i < count; ++i, out += to.block_stride, in += from.block_stride) {
    writer.Store(out, in, bytes);
  }
}

}  // namespace npufa_sim
