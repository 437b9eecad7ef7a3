#include <algorithm>
#include <cstring>

#include "atomic_write.h"
#include "core_registers.h"
#include "fixpipe_convert.h"
#include "fixpipe_move.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kColumns = 16;
constexpr std::int64_t kSourceRow = 64;  // 16 elements of L0C
constexpr std::int64_t kSourceFractal = 1024;
constexpr std::int64_t kBlock = 32;
constexpr std::int64_t kScaleBytes = 8;

// Columns of the destination in NZ: how many elements of a row each holds. 8-bit results fill 32 bytes with two
// fractals of L0C, channel split halves them.
struct NzColumns {
  std::int64_t width, count, tail;  // tail: elements of a narrower last column

  NzColumns(const FixpipeMove& move, std::int64_t size)
      : width(move.channel_split ? 8
              : size == 1        ? 32
                                 : kColumns),
        count(move.n / width), tail(move.n % width) {}
};

void RequireShape(Instruction& ins, const FixpipeMove& move, Space dst, std::int64_t size) {
  ins.Require(move.n >= 0 && move.n <= 4095, "nSize", move.n, "0 to 4095");
  ins.Require(move.m >= 0 && move.m <= (move.row_major ? 8192 : 65535), "mSize", move.m,
              "0 to 65535, 8192 with rows in order");
  ins.Require(move.src_stride >= 0 && move.src_stride <= 65535, "srcStride", move.src_stride, "0 to 65535");
  ins.Require(move.dst_stride >= 1 && move.dst_stride <= 0xffffffffLL, "dstStride", move.dst_stride, "1 to 2^32 - 1");
  ins.Require(dst == Space::kGM || !move.row_major, "format", 1, "CFG_NZ from L0C to L1");
  if (move.channel_split) {
    ins.Require(!move.row_major && dst == Space::kGM, "channel split", 1, "off except from float to float in GM in NZ");
    ins.Require(move.n % 8 == 0, "nSize", move.n, "a multiple of 8 with channel split");
  } else if (!move.row_major) {
    ins.Require(move.n % kColumns == 0, "nSize", move.n, "a multiple of 16 in NZ");
    const std::int64_t column_bytes = move.m * NzColumns(move, size).width * size;
    ins.Require(move.n <= kColumns || move.dst_stride * kBlock >= column_bytes, "dstStride", move.dst_stride,
                "at least the 32-byte blocks of a column, or columns overlap");
  } else {
    ins.Require(move.m <= 1 || move.dst_stride >= move.n, "dstStride", move.dst_stride,
                "at least nSize, or rows overlap");
  }
  ins.Require(move.n <= kColumns || move.src_stride >= move.m, "srcStride", move.src_stride,
              "at least mSize: the rows of a column of fractals");
  if (move.matrices > 1) {
    ins.Require(move.src_matrix >= 1 && move.src_matrix <= 512, "srcNdStride", move.src_matrix, "1 to 512");
    ins.Require(move.dst_matrix >= 1 && move.dst_matrix <= 65535, "dstNdStride", move.dst_matrix, "1 to 65535");
  }
}

// Row-major output takes the elements it names; NZ takes whole rows of fractals, whose last columns may be padding.
void ReadSource(Instruction& ins, const TensorRef& src, const FixpipeMove& move) {
  const std::int64_t stride = move.src_stride * kSourceRow, full = move.n / kColumns, tail = move.n % kColumns;
  OperandRule rule{64}, element;
  rule.unit_flag = element.unit_flag = move.unit_flag != 0;
  for (std::int64_t i = 0; i < move.matrices; ++i) {
    const std::int64_t base = i * move.src_matrix * kSourceFractal;
    if (!move.row_major) {
      OperandRule any = rule;
      any.may_be_unwritten = true;
      const std::int64_t columns = (move.n + kColumns - 1) / kColumns;
      ins.Read(src, {base, move.m * kSourceRow, columns, stride}, any);
      ins.Read(src, {base, 4, move.m, kSourceRow, columns, stride}, element);
      continue;
    }
    if (full > 0) ins.Read(src, {base, move.m * kSourceRow, full, stride}, rule);
    if (tail > 0) ins.Read(src, {base + full * stride, tail * 4, move.m, kSourceRow}, rule);
  }
}

void WriteDestination(GmWriter& writer, const FixpipeMove& move, std::int64_t size) {
  if (move.row_major) {
    writer.Operand({0, move.n * size, move.m, move.dst_stride * size, move.matrices, move.dst_matrix * size});
    return;
  }
  const NzColumns columns(move, size);
  const std::int64_t stride = move.dst_stride * kBlock;
  if (columns.count > 0) writer.Operand({0, move.m * columns.width * size, columns.count, stride}, 32);
  if (columns.tail > 0) writer.Operand({columns.count * stride, move.m * columns.tail * size}, 32);
}

Cost CostOf(Space dst, const FixpipeMove& move, std::int64_t size) {
  const std::int64_t elements = move.matrices * move.m * move.n;
  if (dst == Space::kL1) {
    return {OpClass::kL0cToL1, static_cast<std::uint32_t>(elements * size), static_cast<std::uint32_t>(elements)};
  }
  const NzColumns columns(move, size);
  const std::int64_t bursts = move.row_major ? move.matrices * move.m : columns.count + (columns.tail > 0);
  const std::int64_t bytes = move.row_major ? move.n * size : move.m * columns.width * size;
  return {OpClass::kL0cToGm, static_cast<std::uint32_t>(elements * size), static_cast<std::uint32_t>(bursts),
          static_cast<std::uint32_t>(bytes), static_cast<std::uint8_t>(size)};
}

void StoreRowMajor(const GmWriter& writer, std::uint8_t* dst, const std::uint8_t* src, const FixpipeMove& move,
                   const FixpipeConverter& converter, std::int64_t size) {
  std::uint8_t line[4096 * 4];
  const std::int64_t copied = converter.Copies() ? move.n / kColumns * kColumns : 0;
  for (std::int64_t row = 0; row < move.m; ++row) {
    const std::uint8_t* from = src + row * kSourceRow;
    std::int64_t column = 0;
    for (; column < copied; column += kColumns, from += move.src_stride * kSourceRow) {
      std::memcpy(line + column * 4, from, kSourceRow);
    }
    for (; column < move.n; column += kColumns, from += move.src_stride * kSourceRow) {
      converter.Row(line + column * size, from, column, std::min(kColumns, move.n - column));
    }
    writer.Store(dst + row * move.dst_stride * size, line, move.n * size);
  }
}

void StoreNz(const GmWriter& writer, std::uint8_t* dst, const std::uint8_t* src, const FixpipeMove& move,
             const FixpipeConverter& converter, std::int64_t size) {
  const NzColumns columns(move, size);
  for (std::int64_t first = 0; first < move.n; first += columns.width) {
    const std::int64_t width = std::min(columns.width, move.n - first);
    std::uint8_t* out = dst + first / columns.width * move.dst_stride * kBlock;
    for (std::int64_t row = 0; row < move.m; ++row, out += width * size) {
      std::uint8_t line[kSourceRow];
      for (std::int64_t at = 0; at < width; at += kColumns) {
        const std::int64_t column = first + at;
        const std::uint8_t* from =
            src + (column / kColumns * move.src_stride + row) * kSourceRow + column % kColumns * 4;
        converter.Row(line + at * size, from, column, std::min(kColumns, width - at));
      }
      writer.Store(out, line, width * size);
    }
  }
}

}  // namespace

void MoveFromL0c(const char* name, const TensorRef& dst, Dtype dst_type, const TensorRef& src, Dtype src_type,
                 const FixpipeMove& move, Site site) {
  if (src.space != Space::kL0C) Unsupported(site, name, "from a memory other than L0C");
  if (dst.space != Space::kGM && dst.space != Space::kL1) {
    Unsupported(site, name, "from L0C to a memory other than GM and L1");
  }
  const std::int64_t size = SizeOf(dst_type);
  Instruction ins(name, Pipe::kFIX, site);
  RequireShape(ins, move, dst.space, size);
  const bool fits = ModeFits(move.mode, src_type, dst_type) && (dst.space == Space::kGM || move.mode != NoQuant);
  ins.Require(fits, "quantPre", move.mode, "the mode from the type in L0C to the type of the destination");
  ins.Require(!move.channel_split || move.mode == NoQuant, "channel split", 1, "off except from float to float");
  ins.Require(!IsPerColumn(move.mode) || move.scales, "quantPre", move.mode,
              "a mode with one scale, or give a scale per column");
  if (move.n == 0 || move.m == 0 || move.matrices == 0) return;

  ReadSource(ins, src, move);
  if (IsPerColumn(move.mode)) ins.Read(*move.scales, {0, move.n * kScaleBytes}, kBlockAligned);
  GmWriter writer(ins, dst, dst_type);
  WriteDestination(writer, move, size);
  ins.Issue(CostOf(dst.space, move, size));

  // The chip fetches the scales before it writes: the result may lie where they were.
  std::uint64_t fetched[4096];
  const std::uint64_t* scales = &move.scale;
  if (IsPerColumn(move.mode)) {
    std::memcpy(fetched, Bytes(*move.scales), move.n * kScaleBytes);
    scales = fetched;
  }
  const FixpipeConverter converter(move.mode, dst_type, move.relu, scales, IsPerColumn(move.mode));
  for (std::int64_t i = 0; i < move.matrices; ++i) {
    std::uint8_t* out = Bytes(dst) + i * move.dst_matrix * size;
    const std::uint8_t* in = Bytes(src) + i * move.src_matrix * kSourceFractal;
    if (move.row_major) {
      StoreRowMajor(writer, out, in, move, converter, size);
    } else {
      StoreNz(writer, out, in, move, converter, size);
    }
  }
}

}  // namespace npufa_sim
