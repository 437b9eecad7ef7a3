// Between row-major matrices (ND) and columns of fractals (NZ).
#include <algorithm>
#include <cstring>

#include "atomic_write.h"
#include "data_copy_moves.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kBlock = 32;  // a row of a fractal
constexpr std::int64_t kMax16 = 65535;

struct NzLayout {
  std::int64_t matrices, rows, row_bytes, blocks;      // blocks of 32 bytes to a row, the last one filled with zeros
  std::int64_t src_matrix, src_row;                    // bytes
  std::int64_t dst_matrix, dst_block_column, dst_row;  // bytes
};

NzLayout CheckedLayout(Instruction& ins, const AscendC::Nd2NzParams& p, std::int64_t size) {
  const std::int64_t matrices = Checked(ins, "ndNum", p.ndNum, 0, 4095, "0 to 4095");
  const std::int64_t rows = Checked(ins, "nValue", p.nValue, 0, 16384, "0 to 16384");
  const std::int64_t row_bytes = Checked(ins, "dValue", p.dValue, 0, kMax16, "0 to 65535") * size;
  if (matrices == 0 || rows == 0 || row_bytes == 0) return {};
  constexpr const char* kBlockStride = "1 to 16384 blocks of 32 bytes";
  const std::int64_t c0_stride = Checked(ins, "dstNzC0Stride", p.dstNzC0Stride, 1, 16384, kBlockStride);
  const std::int64_t n_stride = Checked(ins, "dstNzNStride", p.dstNzNStride, 1, 16384, kBlockStride);
  const std::int64_t blocks = (row_bytes + kBlock - 1) / kBlock;
  ins.Require(blocks == 1 || n_stride != 1 || c0_stride >= rows, "dstNzC0Stride", c0_stride,
              "at least nValue, or block columns overlap");
  return {matrices,
          rows,
          row_bytes,
          blocks,
          Checked(ins, "srcNdMatrixStride", p.srcNdMatrixStride, 0, kMax16, "0 to 65535 elements") * size,
          Checked(ins, "srcDValue", p.srcDValue, 1, kMax16, "1 to 65535 elements") * size,
          Checked(ins, "dstNzMatrixStride", p.dstNzMatrixStride, 0, kMax16, "0 to 65535 elements") * size,
          c0_stride * kBlock,
          n_stride * kBlock};
}

void DeclareNz(Instruction& ins, const TensorRef& dst, const NzLayout& l) {
  if (l.dst_row == kBlock) {
    ins.Write(dst, {0, l.rows * kBlock, l.blocks, l.dst_block_column, l.matrices, l.dst_matrix}, kBlockAligned);
    return;
  }
  for (std::int64_t matrix = 0; matrix < l.matrices; ++matrix) {
    ins.Write(dst, {matrix * l.dst_matrix, kBlock, l.rows, l.dst_row, l.blocks, l.dst_block_column}, kBlockAligned);
  }
}

// Column by column: block columns are often a power of two apart, and long rows would displace each other from the
// host's cache.
void MoveRows(std::uint8_t* out, const std::uint8_t* in, std::int64_t rows, const NzLayout& l) {
  const std::int64_t full = l.row_bytes / kBlock, rest = l.row_bytes % kBlock;
  for (std::int64_t block = 0; block < full; ++block, out += l.dst_block_column, in += kBlock) {
    for (std::int64_t row = 0; row < rows; ++row) std::memcpy(out + row * l.dst_row, in + row * l.src_row, kBlock);
  }
  for (std::int64_t row = 0; rest > 0 && row < rows; ++row) {
    std::memcpy(out + row * l.dst_row, in + row * l.src_row, rest);
    std::memset(out + row * l.dst_row + rest, 0, kBlock - rest);
  }
}

}  // namespace

void CopyNdToNz(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::Nd2NzParams& params,
                Site site) {
  if (dst.space != Space::kL1 || src.space != Space::kGM) {
    Unsupported(site, "DataCopy", "with Nd2NzParams on a path other than GM to L1");
  }
  if (!CoreHas(Space::kL1)) {
    Unsupported(site, "DataCopy", "from GM to L1 on a vector core: it needs a server on the cube core");
  }
  const std::int64_t size = SizeOf(dtype);
  if (size > 4) Unsupported(site, "DataCopy", "with Nd2NzParams of elements of 8 bytes");
  Instruction ins("DataCopy", Pipe::kMTE2, site);
  const NzLayout l = CheckedLayout(ins, params, size);
  if (l.matrices == 0) return;
  ins.Read(src, {0, l.row_bytes, l.rows, l.src_row, l.matrices, l.src_matrix});
  DeclareNz(ins, dst, l);
  const std::int64_t bursts = l.matrices * l.rows;
  ins.Issue({OpClass::kGmToL1, static_cast<std::uint32_t>(bursts * l.row_bytes), static_cast<std::uint32_t>(bursts),
             static_cast<std::uint32_t>(l.row_bytes)});

  std::uint8_t* out = Bytes(dst);
  const std::uint8_t* in = Bytes(src);
  const std::int64_t rows_at_once = l.dst_row == kBlock ? 4 : 1;  // else blocks may overlap
  for (std::int64_t matrix = 0; matrix < l.matrices; ++matrix) {
    for (std::int64_t row = 0; row < l.rows; row += rows_at_once) {
      MoveRows(out + matrix * l.dst_matrix + row * l.dst_row, in + matrix * l.src_matrix + row * l.src_row,
               std::min(rows_at_once, l.rows - row), l);
    }
  }
}

namespace {

constexpr std::int64_t kColumns = 16;

struct NzSource {
  std::int64_t matrices, rows, columns;
  std::int64_t src_matrix, src_column, dst_matrix, dst_row;  // elements
};

NzSource CheckedSource(const AscendC::Nz2NdParamsFull& p, Site site) {
  Instruction ins("DataCopy", Pipe::kMTE3, site);
  const NzSource nz{Checked(ins, "ndNum", p.ndNum, 0, 4095, "0 to 4095"),
                    Checked(ins, "nValue", p.nValue, 1, 8192, "1 to 8192"),
                    Checked(ins, "dValue", p.dValue, 1, 8192, "1 to 8192"),
                    Checked(ins, "srcNdMatrixStride", p.srcNdMatrixStride, 1, 512, "1 to 512 of 256 elements") * 256,
                    Checked(ins, "srcNStride", p.srcNStride, 0, 4096, "0 to 4096 rows of 16 elements") * kColumns,
                    Checked(ins, "dstNdMatrixStride", p.dstNdMatrixStride, 1, kMax16, "1 to 65535 elements"),
                    Checked(ins, "dstDStride", p.dstDStride, 1, kMax16, "1 to 65535 elements")};
  ins.Require(nz.columns % kColumns == 0, "dValue", nz.columns, "a multiple of 16");
  ins.Require(nz.dst_row >= nz.columns, "dstDStride", nz.dst_row, "at least dValue");
  return nz;
}

}  // namespace

// UB to GM from fractals of 16 x 16 elements. The toolkit makes it of a DataCopyPad for each column of fractals.
void CopyNzToNd(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::Nz2NdParamsFull& params,
                Site site) {
  if (!CoreHas(Space::kUB)) return;
  if (src.space != Space::kUB || dst.space != Space::kGM) {
    Unsupported(site, "DataCopy", "with Nz2NdParamsFull on a path other than UB to GM");
  }
  const std::int64_t size = SizeOf(dtype);
  if (size != 2 && size != 4) Unsupported(site, "DataCopy", "with Nz2NdParamsFull of elements of 1 or 8 bytes");
  const NzSource nz = CheckedSource(params, site);
  const std::int64_t bytes = kColumns * size;
  for (std::int64_t matrix = 0; matrix < nz.matrices; ++matrix) {
    for (std::int64_t column = 0; column < nz.columns; column += kColumns) {
      Instruction ins("DataCopy", Pipe::kMTE3, site);
      const Extent from{(matrix * nz.src_matrix + column / kColumns * nz.src_column) * size, bytes, nz.rows, bytes};
      const Extent to{(matrix * nz.dst_matrix + column) * size, bytes, nz.rows, nz.dst_row * size};
      ins.Read(src, from, kBlockAligned);
      const GmWriter writer = GmWriter(ins, dst, dtype).Operand(to);
      ins.Issue({OpClass::kUbToGm, static_cast<std::uint32_t>(nz.rows * bytes), static_cast<std::uint32_t>(nz.rows),
                 static_cast<std::uint32_t>(bytes)});
      for (std::int64_t row = 0; row < nz.rows; ++row) {
        writer.Store(Bytes(dst) + to.offset + row * to.block_stride, Bytes(src) + from.offset + row * bytes, bytes);
      }
    }
  }
}

}  // namespace npufa_sim
