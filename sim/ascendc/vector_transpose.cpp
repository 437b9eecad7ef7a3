// Transposes of 16 blocks of 32 bytes.
#include <algorithm>
#include <vector>

#include "vector_lanes.h"
#include "vector_sweep.h"
#include "vector_transpose_ext.h"

namespace npufa_sim {
namespace {

constexpr int kBlocks = 16;

// Bytes of element (row, column) of the 16 source blocks.
struct BlockBytes {
  std::uint8_t row[kBlocks][kBlockBytes];
};

// What ends up in destination block i: 8-bit elements fill half of it, 32-bit columns two of them.
void TransposedBlock(Dtype dtype, const BlockBytes& in, const Transpose16Blocks& call, int i, std::uint8_t* out) {
  const int size = BitsOf(dtype) / 8;
  const auto element = [&](int row, int column) { return in.row[row] + column * size; };
  if (size == 1) {
    for (int j = 0; j < kBlocks; ++j) {
      out[(call.dst_high ? kBlocks : 0) + j] = *element(j, i + (call.src_high ? kBlocks : 0));
    }
  } else if (size == 2) {
    for (int j = 0; j < kBlocks; ++j) std::memcpy(out + j * 2, element(j, i), 2);
  } else {
    for (int j = 0; j < 8; ++j) std::memcpy(out + j * 4, element(i % 2 * 8 + j, i / 2), 4);
  }
}

}  // namespace

void VectorTranspose16(const TensorRef& dst, const TensorRef& src, Site site) {
  constexpr std::int64_t kBytes = kBlocks * kBlockBytes;
  RequireUnifiedBuffer(dst, "Transpose", site);
  RequireUnifiedBuffer(src, "Transpose", site);
  Instruction ins("Transpose", Pipe::kV, site);
  ins.Read(src, {0, kBytes}, kBlockAligned).Write(dst, {0, kBytes}, kBlockAligned);
  ins.Issue({OpClass::kVecCopy, kBytes / kRepeatBytes, kBytes / 2, 2});
  BlockBytes in;
  std::memcpy(&in, Bytes(src), sizeof in);
  for (int i = 0; i < kBlocks; ++i) TransposedBlock(Dtype::kHalf, in, {}, i, Bytes(dst) + i * kBlockBytes);
}

void VectorTransposeBlocks(Dtype dtype, const TensorRef dst[16], const TensorRef src[16], const Transpose16Blocks& call,
                           Site site) {
  Instruction ins("TransDataTo5HD", Pipe::kV, site);
  ins.Require(call.repeat >= 0 && call.repeat <= 255, "repeatTimes", call.repeat, "0 to 255");
  RequireRange(ins, dst[0], "repeat stride", call.dst_stride, 65535);
  RequireRange(ins, src[0], "repeat stride", call.src_stride, 65535);
  if (call.repeat == 0) return;
  const bool bytes = BitsOf(dtype) == 8;
  // A single repeat starts one stride into its blocks.
  const auto start = [&](std::int64_t stride, std::int64_t repeat) {
    return (call.repeat == 1 ? stride : repeat * stride) * kBlockBytes;
  };
  const std::int64_t half_block = kBlockBytes / 2;
  const auto extent = [&](std::int64_t stride, bool high) {
    const std::int64_t offset = start(stride, 0) + (bytes && high ? half_block : 0);
    Extent part{offset, bytes ? half_block : kBlockBytes};
    if (call.repeat > 1 && stride > 0) part.rows = call.repeat, part.row_stride = stride * kBlockBytes;
    return part;
  };
  for (int i = 0; i < kBlocks; ++i) {
    RequireUnifiedBuffer(src[i], "TransDataTo5HD", site);
    ins.Read(src[i], extent(call.src_stride, call.src_high), {bytes ? 16u : 32u});
  }
  for (int i = 0; i < kBlocks; ++i) {
    RequireUnifiedBuffer(dst[i], "TransDataTo5HD", site);
    ins.Write(dst[i], extent(call.dst_stride, call.dst_high), {bytes ? 16u : 32u});
  }
  const std::int64_t moved = call.repeat * kBlocks * kBlockBytes;
  ins.Issue({OpClass::kVecCopy, static_cast<std::uint32_t>(moved / kRepeatBytes),
             static_cast<std::uint32_t>(moved * 8 / BitsOf(dtype)), static_cast<std::uint32_t>(BitsOf(dtype) / 8)});
  for (std::int64_t repeat = 0; repeat < call.repeat; ++repeat) {
    BlockBytes in;
    for (int i = 0; i < kBlocks; ++i) {
      std::memcpy(in.row[i], Bytes(src[i]) + start(call.src_stride, repeat), sizeof in.row[i]);
    }
    for (int i = 0; i < kBlocks; ++i) {
      TransposedBlock(dtype, in, call, i, Bytes(dst[i]) + start(call.dst_stride, repeat));
    }
  }
}

// The library moves through the work buffer in pieces of 16 blocks; here in one step of the same size.
void VectorTranspose4d(Dtype dtype, const TensorRef& dst, const TensorRef& src, const TensorRef& work,
                       const Transpose4d& call, Site site) {
  constexpr const char* kName = "Transpose";
  for (const TensorRef* ref : {&dst, &src, &work}) RequireUnifiedBuffer(*ref, kName, site);
  const std::int64_t size = BitsOf(dtype) / 8, plane = call.c * call.hw, bytes = call.n * plane * size;
  Instruction ins(kName, Pipe::kV, site);
  ins.Read(src, {0, bytes}, kBlockAligned).Write(dst, {0, bytes}, kBlockAligned);
  ins.Issue({OpClass::kVecCopy, static_cast<std::uint32_t>(3 * (bytes / kRepeatBytes + 1)),
             static_cast<std::uint32_t>(bytes / size), static_cast<std::uint8_t>(size)});
  const std::vector<std::uint8_t> in(Bytes(src), Bytes(src) + bytes);
  for (std::int64_t n = 0; n < call.n; ++n) {
    for (std::int64_t c = 0; c < call.c; ++c) {
      for (std::int64_t at = 0; at < call.hw; ++at) {
        const std::int64_t first = n * plane + c * call.hw + at, last = n * plane + at * call.c + c;
        const std::int64_t from = call.channels_last ? first : last, to = call.channels_last ? last : first;
        std::memcpy(Bytes(dst) + to * size, in.data() + from * size, size);
      }
    }
  }
}

}  // namespace npufa_sim
