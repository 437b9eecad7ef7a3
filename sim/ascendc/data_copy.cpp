#include <cstring>
#include <vector>

#include "atomic_write.h"
#include "data_copy_moves.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kBlock = 32;
constexpr std::int64_t kBiasBlock = 64;      // bias table
constexpr std::int64_t kFixpipeBlock = 128;  // fixpipe buffer
constexpr std::int64_t kMaxBlocks = 4095;
constexpr std::int64_t kMax16 = 65535;

struct Path {
  Pipe pipe;
  OpClass op;
  Space home;         // a memory of the kind of core that executes it
  std::int64_t unit;  // of blockLen and of the destination gap
  std::uint32_t dst_align, src_align;
};

// GM addresses need the alignment of the element between GM and UB, none between GM and L1.
Path PathOf(Space dst, Space src, std::int64_t element, Site site) {
  const auto gm = static_cast<std::uint32_t>(element);
  if (src == Space::kGM && dst == Space::kUB) return {Pipe::kMTE2, OpClass::kGmToUb, Space::kUB, kBlock, 32, gm};
  if (src == Space::kGM && dst == Space::kL1) return {Pipe::kMTE2, OpClass::kGmToL1, Space::kL1, kBlock, 32, 1};
  if (src == Space::kUB && dst == Space::kGM) return {Pipe::kMTE3, OpClass::kUbToGm, Space::kUB, kBlock, gm, 32};
  if (src == Space::kL1 && dst == Space::kGM) return {Pipe::kMTE3, OpClass::kL1ToGm, Space::kL1, kBlock, 1, 32};
  if (src == Space::kUB && dst == Space::kUB) return {Pipe::kV, OpClass::kVecCopy, Space::kUB, kBlock, 32, 32};
  if (src == Space::kL1 && dst == Space::kBT) {
    return {Pipe::kMTE1, OpClass::kLoadTable, Space::kL1, kBiasBlock, 64, 32};
  }
  if (src == Space::kL1 && dst == Space::kFB) {
    return {Pipe::kFIX, OpClass::kLoadTable, Space::kL1, kFixpipeBlock, 128, 32};
  }
  if (src == Space::kUB && dst == Space::kL1) {
    Unsupported(site, "DataCopy", "from UB to L1: on split cores it goes through GM and a message to the cube core");
  }
  Unsupported(site, "DataCopy", "between these memories: dav-2201 has no such path");
}

Cost CostOf(const Path& path, Dtype dtype, std::int64_t count, std::int64_t bytes) {
  const auto total = static_cast<std::uint32_t>(count * bytes);
  if (path.op == OpClass::kVecCopy) {
    const auto element = static_cast<std::uint32_t>(SizeOf(dtype));
    return {path.op, (total + 255) / 256, total / element, element, 0};
  }
  return {path.op, total, static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(bytes), 0};
}

void StoreBiasAsFloat(std::uint8_t* dst, const std::uint8_t* src, std::int64_t source_bytes) {
  for (std::int64_t i = 0; i < source_bytes / 2; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, src + 2 * i, sizeof bits);
    const float value = HalfToFloat(bits);
    std::memcpy(dst + 4 * i, &value, sizeof value);
  }
}

}  // namespace

void CopyBlocks(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::DataCopyParams& params,
                bool bias_to_float, Site site) {
  const Path path = PathOf(dst.space, src.space, SizeOf(dtype), site);
  if (!CoreHas(path.home)) {
    if (path.op == OpClass::kGmToL1) {
      Unsupported(site, "DataCopy", "from GM to L1 on a vector core: it needs a server on the cube core");
    }
    return;
  }
  Instruction ins("DataCopy", path.pipe, site);
  const std::int64_t count = Checked(ins, "blockCount", params.blockCount, 0, kMaxBlocks, "0 to 4095");
  const std::int64_t units = Checked(ins, "blockLen", params.blockLen, 0, kMax16, "0 to 65535");
  const std::int64_t src_gap = Checked(ins, "srcStride", params.srcStride, 0, kMax16, "0 to 65535") * kBlock;
  const std::int64_t dst_gap = Checked(ins, "dstStride", params.dstStride, 0, kMax16, "0 to 65535") * path.unit;
  if (path.op == OpClass::kLoadTable) {
    ins.Require(count <= 1, "blockCount", count, "1: documents disagree on the gaps of more blocks into this table");
  }
  if (count == 0 || units == 0) return;

  const std::int64_t bytes = units * path.unit, written = bias_to_float ? 2 * bytes : bytes;
  const Extent from{0, bytes, count, bytes + src_gap};
  const Extent to{0, written, count, written + dst_gap};
  OperandRule source{path.src_align};
  source.whole_blocks = src.space != Space::kGM;
  source.carries = src.space != Space::kGM && dst.space != Space::kGM;
  ins.Read(src, from, source);
  const GmWriter writer = GmWriter(ins, dst, dtype).Operand(to, path.dst_align);
  std::vector<std::int64_t> undefined;
  for (std::int64_t at = 0; bias_to_float && at < bytes; at += 2) {
    if (!ins.AllWritten(src, {at, 2})) undefined.push_back(2 * at);
  }
  ins.Issue(CostOf(path, dtype, count, bytes));
  if (!bias_to_float) ins.CopyWritten(dst, to, src, from);
  for (const std::int64_t at : undefined) ins.Undefine(dst, {at, 4});

  std::uint8_t* out = Bytes(dst);
  const std::uint8_t* in = Bytes(src);
  for (std::int64_t i = 0; i < count; ++i, out += to.block_stride, in += from.block_stride) {
    if (bias_to_float) {
      StoreBiasAsFloat(out, in, bytes);
    } else {
      writer.Store(out, in, bytes);
    }
  }
}

void CopyElements(const TensorRef& dst, const TensorRef& src, Dtype dtype, std::uint32_t count, Site site) {
  const Path path = PathOf(dst.space, src.space, SizeOf(dtype), site);
  const std::int64_t bytes = dtype == Dtype::kInt4 ? count / 2 : count * SizeOf(dtype);
  Instruction("DataCopy", path.pipe, site)
      .Require(bytes % path.unit == 0, "count in bytes", bytes,
               path.unit == kBlock       ? "a multiple of 32: the chip drops the rest, DataCopyPad moves it"
               : path.unit == kBiasBlock ? "a multiple of 64"
                                         : "a multiple of 128")
      .Require(bytes / path.unit <= kMax16, "count in bytes", bytes, "at most 65535 blocks");
  AscendC::DataCopyParams params;
  params.blockLen = bytes / path.unit;
  CopyBlocks(dst, src, dtype, params, false, site);
}

}  // namespace npufa_sim
