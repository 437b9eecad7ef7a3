// LoadData from a feature map, in the form that matrix products use: without filter, stride, dilation and padding,
// image-to-column leaves the map as it is, a matrix of (height * width) rows and `channels` columns in NZ.
#include <algorithm>
#include <cstring>

#include "load_data_moves.h"

namespace npufa_sim {
namespace {

constexpr const char* kName = "LoadData";

// Rows and columns of the matrix in L1 that a call takes: a window, repeated downwards or to the right. Columns in
// fractals of 32 bytes.
struct Window {
  std::int64_t map_rows;
  std::int64_t row_start, rows, row_step, row_repeats;
  std::int64_t column_start, columns, column_step, column_repeats;

  std::int64_t all_rows() const { return rows * row_repeats; }
  std::int64_t all_columns() const { return columns * column_repeats; }
  std::int64_t SourceRow(std::int64_t i) const { return row_start + i / rows * row_step + i % rows; }
  std::int64_t SourceColumn(std::int64_t i) const { return column_start + i / columns * column_step + i % columns; }
  std::int64_t OffsetOf(std::int64_t row, std::int64_t column) const {
    return (SourceColumn(column) * map_rows + SourceRow(row)) * kRowBytes;
  }
};

void RequireNoConvolution(const FeatureMapWindow& w, std::uint64_t map, Site site) {
  const bool plain = w.stride_w == 1 && w.stride_h == 1 && w.filter_w == 1 && w.filter_h == 1 && w.dilation_w == 1 &&
                     w.dilation_h == 1 && !w.large_filter;
  if (!plain) Unsupported(site, kName, "of a feature map with a filter, stride or dilation other than 1");
  if (map >> 32 != 0) Unsupported(site, kName, "of a feature map with padding");
  if (w.right_map) Unsupported(site, kName, "with fMatrixCtrl");
}

Window CheckedWindow(Instruction& ins, const FeatureMapWindow& w, std::int64_t c0) {
  const std::uint64_t map = Registers().feature_map, repeat = Registers().load_repeat;
  const auto range = [&](const char* name, std::int64_t value, std::int64_t last, const char* expected) {
    ins.Require(value >= 0 && value <= last, name, value, expected);
  };
  range("kExtension", w.k, 65535, "0 to 65535");
  range("mExtension", w.m, 65535, "0 to 65535");
  range("kStartPt", w.k_start, 65535, "0 to 65535");
  range("mStartPt", w.m_start, 32767, "0 to 32767");
  range("channelSize", w.channels, 65535, "0 to 65535");
  const std::int64_t rows = static_cast<std::int64_t>(map & 0xffff) * static_cast<std::int64_t>(map >> 16 & 0xffff);
  if (rows == 0 || w.channels == 0 || w.k == 0 || w.m == 0) return {};
  ins.Require(w.channels % c0 == 0, "channelSize", w.channels, "a multiple of the elements of 32 bytes");
  ins.Require(w.k % c0 == 0, "kExtension", w.k, "a multiple of the elements of 32 bytes");
  ins.Require(w.k_start % c0 == 0, "kStartPt", w.k_start, "a multiple of the elements of 32 bytes");

  Window window{rows, w.m_start, w.m, 0, 1, w.k_start / c0, w.k / c0, 0, 1};
  if (repeat & kRegisterSet) {
    const auto stride = static_cast<std::int64_t>(repeat & 0xffff);
    const auto times = static_cast<std::int64_t>(repeat >> 16 & 0xff);
    if (times == 0) return {};
    if ((repeat >> 24 & 1) == 0) {
      window.row_step = stride * kFractalRows;
      window.row_repeats = times;
    } else {
      window.column_step = stride;
      window.column_repeats = times;
    }
  }
  ins.Require(window.row_repeats == 1 || w.m % kFractalRows == 0, "mExtension of a repeated load", w.m,
              "a multiple of 16");
  const std::int64_t last_row = window.SourceRow(window.all_rows() - 1);
  const std::int64_t last_column = window.SourceColumn(window.all_columns() - 1);
  ins.Require(last_row < rows, "mStartPt + mExtension", last_row + 1, "at most l1H * l1W");
  ins.Require(last_column < w.channels / c0, "kStartPt + kExtension", (last_column + 1) * c0, "at most channelSize");
  return window;
}

// Where the 16 rows by 32 bytes at (row fractal, column fractal) of the window go.
enum class Layout {
  kKeep,          // L0A: rows of fractals, as they are
  kTransposeA16,  // L0A: the transpose, 2-byte elements
  kTransposeA32,
  kTransposeB16,  // L0B, which stores each fractal transposed
  kTransposeB32,
};

Layout LayoutOf(Space dst, Dtype dtype, bool transpose, Site site) {
  const std::int64_t size = SizeOf(dtype);
  if (dst == Space::kL0A && !transpose) return Layout::kKeep;
  if (dst != Space::kL0A && dst != Space::kL0B) Unsupported(site, kName, "of a feature map into this memory");
  if (size == 2) return dst == Space::kL0A ? Layout::kTransposeA16 : Layout::kTransposeB16;
  if (size == 4) return dst == Space::kL0A ? Layout::kTransposeA32 : Layout::kTransposeB32;
  Unsupported(site, kName, "of a feature map with elements of 1 byte, transposed");
}

// 4-byte elements: 16 rows become two groups of 8 columns, 8 columns half of the rows of a fractal.
struct Placement {
  Layout layout;
  std::int64_t row_fractals, column_fractals;

  std::int64_t column_pairs() const { return (column_fractals + 1) / 2; }

  // Of fractal (row, column); with 4-byte elements of its upper (half = 0) or lower 8 rows.
  std::int64_t OffsetOf(std::int64_t row, std::int64_t column, std::int64_t half) const {
    const std::int64_t in_pair = column % 2 * (kFractalBytes / 2);
    switch (layout) {
      case Layout::kTransposeA16: return (column * row_fractals + row) * kFractalBytes;
      case Layout::kTransposeA32: return ((column / 2 * row_fractals + row) * 2 + half) * kFractalBytes + in_pair;
      case Layout::kTransposeB32: return ((row * 2 + half) * column_pairs() + column / 2) * kFractalBytes + in_pair;
      default: return (row * column_fractals + column) * kFractalBytes;
    }
  }

  void Declare(Instruction& ins, const TensorRef& dst, OperandRule rule) const {
    rule.align = 512;
    const bool odd = column_fractals % 2 != 0;
    if (layout == Layout::kTransposeA32) {
      const std::int64_t pair_bytes = row_fractals * 2 * kFractalBytes;
      const std::int64_t paired = column_fractals / 2 * pair_bytes;
      ins.Write(dst, {0, paired}, rule);
      if (odd) ins.Write(dst, {paired, kFractalBytes / 2, row_fractals * 2, kFractalBytes}, rule);
    } else if (layout == Layout::kTransposeB32) {
      ins.Write(dst, {0, column_fractals * kFractalBytes / 2, row_fractals * 2, column_pairs() * kFractalBytes}, rule);
    } else {
      ins.Write(dst, {0, row_fractals * column_fractals * kFractalBytes}, rule);
    }
  }
};

void MoveFractal(const Placement& place, std::uint8_t* dst, const std::uint8_t* in, std::int64_t row,
                 std::int64_t column) {
  switch (place.layout) {
    case Layout::kKeep: std::memcpy(dst + place.OffsetOf(row, column, 0), in, kFractalBytes); return;
    case Layout::kTransposeA16:
    case Layout::kTransposeB16: Transpose16(dst + place.OffsetOf(row, column, 0), in); return;
    default:
      for (std::int64_t half = 0; half < 2; ++half) {
        Transpose8(dst + place.OffsetOf(row, column, half), in + half * kFractalBytes / 2);
      }
  }
}

void CopyWrittenFractal(Instruction& ins, const Placement& place, const TensorRef& dst, const TensorRef& src,
                        std::int64_t from, std::int64_t valid_rows, std::int64_t row, std::int64_t column) {
  if (valid_rows == kFractalRows && ins.AllWritten(src, {from, kFractalBytes})) {
    const bool halves = place.layout == Layout::kTransposeA32 || place.layout == Layout::kTransposeB32;
    const std::int64_t bytes = halves ? kFractalBytes / 2 : kFractalBytes;
    for (std::int64_t half = 0; half < kFractalBytes / bytes; ++half) {
      ins.CopyWritten(dst, {place.OffsetOf(row, column, half), bytes}, src, {from + half * bytes, bytes});
    }
    return;
  }
  switch (place.layout) {
    case Layout::kKeep:
      ins.CopyWritten(dst, {place.OffsetOf(row, column, 0), valid_rows * kRowBytes}, src,
                      {from, valid_rows * kRowBytes});
      return;
    case Layout::kTransposeA16:
    case Layout::kTransposeB16:
      ins.CopyWritten(dst, {place.OffsetOf(row, column, 0), 2, 16, kRowBytes, valid_rows, 2}, src,
                      {from, 2, 16, 2, valid_rows, kRowBytes});
      return;
    default:
      for (std::int64_t i = 0; i < valid_rows; ++i) {
        ins.CopyWritten(dst, {place.OffsetOf(row, column, i / 8) + i % 8 * 4, 4, 8, kRowBytes}, src,
                        {from + i * kRowBytes, 4, 8, 4});
      }
  }
}

}  // namespace

void SetFeatureMapRegister(std::int64_t height, std::int64_t width, const std::uint8_t padding[4], bool right,
                           Site site) {
  if (!CoreHas(Space::kL1)) return;
  Instruction("SetFmatrix", Pipe::kS, site)
      .Require(height >= 0 && height <= 32767, "l1H", height, "0 to 32767")
      .Require(width >= 0 && width <= 32767, "l1W", width, "0 to 32767");
  if (right) Unsupported(site, "SetFmatrix", "with FMATRIX_RIGHT");
  std::uint64_t value = static_cast<std::uint64_t>(width) | static_cast<std::uint64_t>(height) << 16;
  for (int i = 0; i < 4; ++i) value |= static_cast<std::uint64_t>(padding[i]) << (32 + 8 * i);
  Registers().feature_map = value;
}

void SetLoadRepeatRegister(const AscendC::LoadDataRepeatParam& params, Site site) {
  if (!CoreHas(Space::kL1)) return;
  Instruction ins("SetLoadDataRepeat", Pipe::kS, site);
  const std::int64_t stride = Checked(ins, "repeatStride", params.repeatStride, 0, 65535, "0 to 65535");
  const std::int64_t times = Checked(ins, "repeatTime", params.repeatTime, 0, 255, "0 to 255");
  const std::int64_t mode = Checked(ins, "repeatMode", params.repeatMode, 0, 1, "0 or 1");
  Registers().load_repeat = static_cast<std::uint64_t>(stride | times << 16 | mode << 24) | kRegisterSet;
}

void SetLoadBoundaryRegister(std::uint32_t bytes, Site site) {
  if (!CoreHas(Space::kL1)) return;
  Instruction("SetLoadDataBoundary", Pipe::kS, site)
      .Require(bytes == 0 || (bytes >= 1024 && bytes <= SpaceBytes(Space::kL1)), "boundaryValue", bytes,
               "0, or from 1024 bytes to the size of L1");
  Registers().load_boundary = bytes;
}

void LoadFeatureMap(const TensorRef& dst, const TensorRef& src, Dtype dtype, const FeatureMapWindow& w, Site site) {
  if (!CoreHas(Space::kL1)) return;
  if (src.space != Space::kL1) Unsupported(site, kName, "of a feature map from a memory other than L1");
  const Layout layout = LayoutOf(dst.space, dtype, w.transpose, site);
  RequireNoConvolution(w, Registers().feature_map, site);
  Instruction ins(kName, Pipe::kMTE1, site);
  const Window window = CheckedWindow(ins, w, dtype == Dtype::kInt4 ? 64 : kRowBytes / SizeOf(dtype));
  if (window.map_rows == 0) return;

  const std::int64_t rows = window.all_rows();
  const Placement place{layout, (rows + kFractalRows - 1) / kFractalRows, window.all_columns()};
  bool complete = rows % kFractalRows == 0;
  const auto boundary = static_cast<std::int64_t>(Registers().load_boundary);
  if (boundary != 0) {
    ins.Require(static_cast<std::int64_t>(src.address) < boundary, "address of src", src.address,
                "below the boundary of SetLoadDataBoundary");
    ins.Read({src.name, Space::kL1, 0, 0, SpaceBytes(Space::kL1)}, {0, boundary}, {32, true});
  }
  for (std::int64_t r = 0; r < window.row_repeats && boundary == 0; ++r) {
    for (std::int64_t c = 0; c < window.column_repeats; ++c) {
      const Extent part{window.OffsetOf(r * window.rows, c * window.columns), window.rows * kRowBytes, window.columns,
                        window.map_rows * kRowBytes};
      ins.Read(src, part, {32, true});
      complete = complete && ins.AllWritten(src, part);
    }
  }
  OperandRule rule;
  rule.undefined = !complete;
  place.Declare(ins, dst, rule);
  const std::int64_t bytes = place.row_fractals * place.column_fractals * kFractalBytes;
  ins.Issue({dst.space == Space::kL0A ? OpClass::kLoadL0A : OpClass::kLoadL0B, static_cast<std::uint32_t>(bytes)});

  std::uint8_t* out = Bytes(dst);
  const std::uint8_t* map = Bytes(src);
  for (std::int64_t row = 0; row < place.row_fractals; ++row) {
    const std::int64_t valid = std::min(kFractalRows, rows - row * kFractalRows);
    for (std::int64_t column = 0; column < place.column_fractals; ++column) {
      const std::int64_t from = window.OffsetOf(row * kFractalRows, column);
      const std::uint8_t* in = map + from;
      std::uint8_t last[kFractalBytes] = {};
      if (boundary != 0) {
        const std::uint8_t* memory = map - src.address;
        for (std::int64_t i = 0; i < valid; ++i) {
          std::memcpy(last + i * kRowBytes, memory + (src.address + from + i * kRowBytes) % boundary, kRowBytes);
        }
        in = last;
      } else if (valid < kFractalRows) in = static_cast<const std::uint8_t*>(std::memcpy(last, in, valid * kRowBytes));
      MoveFractal(place, out, in, row, column);
      if (!complete && boundary == 0) CopyWrittenFractal(ins, place, dst, src, from, valid, row, column);
    }
  }
}

}  // namespace npufa_sim
