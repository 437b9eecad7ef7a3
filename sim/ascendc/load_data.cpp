// Loads of fractals one by one, as they are or each transposed.
#include <cstring>

#include "load_data_moves.h"

namespace npufa_sim {
namespace {

struct LoadPath {
  Pipe pipe;
  OpClass op;
  std::uint32_t dst_align, src_align;
};

LoadPath PathOf(const char* name, Space dst, Space src, Site site) {
  const bool from_gm = src == Space::kGM;
  const Pipe pipe = from_gm ? Pipe::kMTE2 : Pipe::kMTE1;
  const std::uint32_t src_align = from_gm ? 1 : 32;
  if (from_gm || src == Space::kL1) {
    if (dst == Space::kL0A) return {pipe, from_gm ? OpClass::kGmToL1 : OpClass::kLoadL0A, 512, src_align};
    if (dst == Space::kL0B) return {pipe, from_gm ? OpClass::kGmToL1 : OpClass::kLoadL0B, 512, src_align};
    if (dst == Space::kL1 && from_gm) return {pipe, OpClass::kGmToL1, 32, src_align};
  }
  Unsupported(site, name, "between these memories: it loads from GM or L1 into L0A or L0B, or from GM into L1");
}

Cost CostOf(const LoadPath& path, std::int64_t fractals) {
  return {path.op, static_cast<std::uint32_t>(fractals * kFractalBytes), static_cast<std::uint32_t>(fractals),
          static_cast<std::uint32_t>(kFractalBytes), 0};
}

// `count` pieces of `bytes`, `stride` apart from piece to piece, forwards or backwards from piece `start`.
struct Sequence {
  std::int64_t start, count, stride, bytes;
  bool falling;

  std::int64_t OffsetOf(std::int64_t i) const { return start + (falling ? -i : i) * stride; }
  Extent Cover() const { return {falling ? OffsetOf(count - 1) : start, bytes, count, stride}; }
};

void CopyWrittenTransposed16(Instruction& ins, const TensorRef& dst, std::int64_t to, const TensorRef& src,
                             std::int64_t from) {
  ins.CopyWritten(dst, {to, 2, kFractalRows, kRowBytes, kFractalRows, 2}, src,
                  {from, 2, kFractalRows, 2, kFractalRows, kRowBytes});
}

}  // namespace

void Transpose16(std::uint8_t* dst, const std::uint8_t* src) {
  using Row = std::uint16_t __attribute__((vector_size(kRowBytes)));
  constexpr Row kLow{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  Row rows[16], next[16];
  std::memcpy(rows, src, sizeof rows);
  // Interleaving row i with row i + 8 four times over exchanges rows and columns.
  for (int step = 0; step < 4; ++step) {
    for (int i = 0; i < 8; ++i) {
      next[2 * i] = __builtin_shuffle(rows[i], rows[i + 8], kLow);
      next[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + 8], kLow + 8);
    }
    std::memcpy(rows, next, sizeof rows);
  }
  std::memcpy(dst, rows, sizeof rows);
}

void Transpose8(std::uint8_t* dst, const std::uint8_t* src) {
  using Row = std::uint32_t __attribute__((vector_size(kRowBytes)));
  Row rows[8], next[8];
  std::memcpy(rows, src, sizeof rows);
  for (int step = 0; step < 3; ++step) {
    for (int i = 0; i < 4; ++i) {
      next[2 * i] = __builtin_shuffle(rows[i], rows[i + 4], Row{0, 8, 1, 9, 2, 10, 3, 11});
      next[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + 4], Row{4, 12, 5, 13, 6, 14, 7, 15});
    }
    std::memcpy(rows, next, sizeof rows);
  }
  std::memcpy(dst, rows, sizeof rows);
}

void LoadFractals(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::LoadData2DParams& params,
                  Site site) {
  if (!CoreHas(Space::kL1)) return;
  const LoadPath path = PathOf("LoadData", dst.space, src.space, site);
  Instruction ins("LoadData", path.pipe, site);
  const std::int64_t count = Checked(ins, "repeatTimes", params.repeatTimes, 0, 255, "0 to 255");
  const std::int64_t start = Checked(ins, "startIndex", params.startIndex, 0, 65535, "0 to 65535");
  const std::int64_t stride = Checked(ins, "srcStride", params.srcStride, 0, 65535, "0 to 65535");
  const std::int64_t gap = Checked(ins, "dstGap", params.dstGap, 0, 65535, "0 to 65535");
  const bool transpose = params.ifTranspose && src.space == Space::kL1;
  ins.Require(!params.ifTranspose || src.space == Space::kL1, "ifTranspose", 1, "false for loads from GM");
  ins.Require(!transpose || SizeOf(dtype) == 2, "bytes of an element with ifTranspose", SizeOf(dtype), "2");
  ins.Require(params.addrMode == 0 || dst.space == Space::kL1, "addrMode", params.addrMode, "0 except from GM to L1");
  ins.Require(dtype != Dtype::kInt4 || src.space == Space::kL1, "source of int4b_t in GM", 1, "in L1");
  if (count == 0) return;

  const Sequence from{start * kFractalBytes, count, stride * kFractalBytes, kFractalBytes, params.addrMode == 1};
  const Sequence to{0, count, (1 + gap) * kFractalBytes, kFractalBytes, false};
  ins.Read(src, from.Cover(), {path.src_align, src.space == Space::kL1});
  ins.Write(dst, to.Cover(), {path.dst_align});
  const bool complete = ins.AllWritten(src, from.Cover());
  ins.Issue(CostOf(path, count));

  for (std::int64_t i = 0; i < count; ++i) {
    std::uint8_t* out = Bytes(dst) + to.OffsetOf(i);
    const std::uint8_t* in = Bytes(src) + from.OffsetOf(i);
    const bool gaps = !complete && !ins.AllWritten(src, {from.OffsetOf(i), kFractalBytes});
    if (transpose) {
      Transpose16(out, in);
      if (gaps) CopyWrittenTransposed16(ins, dst, to.OffsetOf(i), src, from.OffsetOf(i));
    } else {
      std::memcpy(out, in, kFractalBytes);
      if (gaps) ins.CopyWritten(dst, {to.OffsetOf(i), kFractalBytes}, src, {from.OffsetOf(i), kFractalBytes});
    }
  }
}

namespace {

// Squares of `edge` x `edge` elements made of `fractals` fractals that follow one another.
struct Square {
  std::int64_t edge, fractals;
};

Square SquareOf(Dtype dtype) {
  if (dtype == Dtype::kInt4) return {64, 4};
  switch (SizeOf(dtype)) {
    case 1: return {32, 2};
    case 2: return {16, 1};
    default: return {16, 2};
  }
}

std::uint8_t Nibble(const std::uint8_t* base, std::int64_t index) { return base[index / 2] >> (4 * (index % 2)) & 0xf; }

void TransposeNibbles(std::uint8_t* out, const std::uint8_t* in, const Square& square, std::int64_t fractal_stride) {
  for (std::int64_t row = 0; row < square.edge; ++row) {
    std::uint8_t* line = out + row / kFractalRows * fractal_stride + row % kFractalRows * kRowBytes;
    for (std::int64_t byte = 0; byte < kRowBytes; ++byte) {
      const std::uint8_t low = Nibble(in, 2 * byte * square.edge + row);
      const std::uint8_t high = Nibble(in, (2 * byte + 1) * square.edge + row);
      line[byte] = static_cast<std::uint8_t>(low | high << 4);
    }
  }
}

// Where element (row, column) of a square lies: rows of 32 bytes, whole squares of 1- and 2-byte elements row by row,
// of 4-byte elements first the left 8 columns, then the right 8.
std::int64_t OffsetInSquare(std::int64_t size, std::int64_t row, std::int64_t column, std::int64_t fractal_stride) {
  if (size == 4) return column / 8 * fractal_stride + row * kRowBytes + column % 8 * 4;
  return row / kFractalRows * fractal_stride + row % kFractalRows * kRowBytes + column * size;
}

void TransposeSquare(std::uint8_t* out, const std::uint8_t* in, const Square& square, std::int64_t size,
                     std::int64_t fractal_stride) {
  for (std::int64_t row = 0; row < square.edge; ++row) {
    for (std::int64_t column = 0; column < square.edge; ++column) {
      std::memcpy(out + OffsetInSquare(size, row, column, fractal_stride),
                  in + OffsetInSquare(size, column, row, kFractalBytes), size);
    }
  }
}

void CopyWrittenSquare(Instruction& ins, const TensorRef& dst, std::int64_t to, const TensorRef& src, std::int64_t from,
                       const Square& square, std::int64_t size, std::int64_t fractal_stride) {
  for (std::int64_t row = 0; row < square.edge; ++row) {
    for (std::int64_t column = 0; column < square.edge; ++column) {
      ins.CopyWritten(dst, {to + OffsetInSquare(size, row, column, fractal_stride), size}, src,
                      {from + OffsetInSquare(size, column, row, kFractalBytes), size});
    }
  }
}

}  // namespace

void LoadTransposed(const TensorRef& dst, const TensorRef& src, Dtype dtype,
                    const AscendC::LoadData2dTransposeParams& params, Site site) {
  constexpr const char* kName = "LoadDataWithTranspose";
  if (!CoreHas(Space::kL1)) return;
  const LoadPath path = PathOf(kName, dst.space, src.space, site);
  if (src.space != Space::kL1) Unsupported(site, kName, "from a memory other than L1");
  if (dtype == Dtype::kInt4 && dst.space != Space::kL0B) Unsupported(site, kName, "of int4b_t into L0A");
  const std::int64_t size = SizeOf(dtype);
  if (size == 8) Unsupported(site, kName, "of elements of 8 bytes");
  const Square square = SquareOf(dtype);
  const std::int64_t square_bytes = square.fractals * kFractalBytes;

  Instruction ins(kName, path.pipe, site);
  const std::int64_t count = Checked(ins, "repeatTimes", params.repeatTimes, 0, 255, "0 to 255");
  const std::int64_t start = Checked(ins, "startIndex", params.startIndex, 0, 65535, "0 to 65535") * square_bytes;
  const std::int64_t stride = Checked(ins, "srcStride", params.srcStride, 0, 65535, "0 to 65535") * square_bytes;
  const std::int64_t gap = Checked(ins, "dstGap", params.dstGap, 0, 65535, "0 to 65535");
  const std::int64_t fractal_stride =
      (1 + Checked(ins, "dstFracGap", params.dstFracGap, 0, 65535, "0 to 65535")) * kFractalBytes;
  if (count == 0) return;

  const Sequence from{start, count, stride, square_bytes, params.addrMode != 0};
  const std::int64_t step = (1 + gap) * kFractalBytes;
  ins.Read(src, from.Cover(), {path.src_align, true});
  ins.Write(dst, {0, kFractalBytes, square.fractals, fractal_stride, count, step}, {path.dst_align});
  const bool complete = ins.AllWritten(src, from.Cover());
  ins.Issue(CostOf(path, count * square.fractals));

  for (std::int64_t i = 0; i < count; ++i) {
    std::uint8_t* out = Bytes(dst) + i * step;
    const std::uint8_t* in = Bytes(src) + from.OffsetOf(i);
    if (dtype == Dtype::kInt4) {
      TransposeNibbles(out, in, square, fractal_stride);
    } else {
      TransposeSquare(out, in, square, size, fractal_stride);
      const bool gaps = !complete && !ins.AllWritten(src, {from.OffsetOf(i), square_bytes});
      if (gaps) CopyWrittenSquare(ins, dst, i * step, src, from.OffsetOf(i), square, size, fractal_stride);
    }
  }
}

}  // namespace npufa_sim
