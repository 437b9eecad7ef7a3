#include "mmad_sparse.h"

#include <cstring>
#include <vector>

#include "load_data_moves.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kIndexFractal = 128;  // two bits for each of 32 x 16 elements
constexpr std::int64_t kColumns = 16;

// Element of K that the index says: the first of two is one of the first three of four, the second of the last three.
std::int64_t PlaceOf(const std::uint8_t* indices, std::int64_t element) {
  const int index = indices[element / 4] >> (element % 4 * 2) & 3;
  return element / 2 * 4 + element % 2 + index;
}

// The right matrix with its zeros, in the fractals of L0B.
std::vector<std::uint8_t> Expand(const std::uint8_t* b, const std::uint8_t* indices, std::int64_t k, std::int64_t n) {
  const std::int64_t columns = (n + kColumns - 1) / kColumns, halves = (k / 2 + 31) / 32;
  std::vector<std::uint8_t> full(2 * halves * columns * kFractalBytes);
  for (std::int64_t fractal = 0; fractal < halves * columns; ++fractal) {
    const std::int64_t row = fractal / columns, column = fractal % columns;
    for (std::int64_t c = 0; c < kColumns; ++c) {
      const std::uint8_t* places = indices + fractal * kIndexFractal + c * kIndexFractal / kColumns;
      for (std::int64_t e = 0; e < 32; ++e) {
        const std::int64_t place = PlaceOf(places, e);
        const std::int64_t half = (2 * row + place / 32) * columns + column;
        const std::int64_t to = half * kFractalBytes + c * kRowBytes + place % 32;
        full[to] = static_cast<std::uint8_t>(full[to] + b[fractal * kFractalBytes + c * kRowBytes + e]);
      }
    }
  }
  return full;
}

}  // namespace

void LoadSparse(const TensorRef& dst, const TensorRef& src, const TensorRef& index,
                const AscendC::LoadData2DParams& params, Site site) {
  constexpr const char* kName = "LoadDataWithSparse";
  if (!CoreHas(Space::kL0B)) return;
  if (dst.space != Space::kL0B) Unsupported(site, kName, "into a memory other than L0B");
  if (src.space != Space::kL1 || index.space != Space::kL1) Unsupported(site, kName, "from a memory other than L1");
  Instruction ins(kName, Pipe::kMTE1, site);
  const std::int64_t start = Checked(ins, "startIndex", params.startIndex, 0, 65535, "0 to 65535");
  const std::int64_t count = Checked(ins, "repeatTimes", params.repeatTimes, 0, 255, "0 to 255");
  if (count == 0) return;
  ins.Read(src, {start * kFractalBytes, count * kFractalBytes}, kBlockAligned);
  ins.Read(index, {start * kIndexFractal, count * kIndexFractal}, kBlockAligned);
  ins.Write(dst, {0, count * kFractalBytes}, {512});
  ins.Issue({OpClass::kLoadL0B, static_cast<std::uint32_t>(count * kFractalBytes)});
  std::memcpy(Bytes(dst), Bytes(src) + start * kFractalBytes, count * kFractalBytes);
  std::memcpy(SparseIndices() + dst.address / 4, Bytes(index) + start * kIndexFractal, count * kIndexFractal);
}

void MultiplySparse(const MmadOperands& operands, const AscendC::MmadParams& params, Site site) {
  constexpr const char* kName = "MmadWithSparse";
  if (!CoreHas(Space::kL0C)) return;
  if (operands.c.space != Space::kL0C || operands.a.space != Space::kL0A || operands.b.space != Space::kL0B) {
    Unsupported(site, kName, "between memories other than L0A, L0B and L0C");
  }
  Instruction ins(kName, Pipe::kM, site);
  const std::int64_t m = Checked(ins, "m", params.m, 0, 4095, "0 to 4095");
  const std::int64_t n = Checked(ins, "n", params.n, 0, 4095, "0 to 4095");
  const std::int64_t k = Checked(ins, "k", params.k, 0, 4095, "0 to 4095");
  if (m == 0 || n == 0 || k == 0) return;
  ins.Require(k % 64 == 0, "k", k, "a multiple of 64");
  const std::int64_t rows = (m + 15) / 16, columns = (n + kColumns - 1) / kColumns;
  const bool accumulates = params.isBias || !params.cmatrixInitVal;
  OperandRule rule{1024};
  rule.unit_flag = params.unitFlag != 0;
  ins.Read(operands.a, {0, rows * (k / 32) * kFractalBytes}, {512});
  ins.Read(operands.b, {0, columns * (k / 64) * kFractalBytes}, {512});
  const Extent tile{0, rows * columns * 1024};
  if (accumulates) ins.Read(operands.c, tile, rule);
  ins.Write(operands.c, tile, rule);
  // The cube multiplies the half that is left.
  ins.Issue({OpClass::kMmad, static_cast<std::uint32_t>(m), static_cast<std::uint32_t>(n),
             static_cast<std::uint32_t>(k / 2), static_cast<std::uint8_t>(MmadType::kInt8)});
  const std::vector<std::uint8_t> full = Expand(Bytes(operands.b), SparseIndices() + operands.b.address / 4, k, n);
  MultiplyTile({MmadInput::kInt8, accumulates ? MmadStart::kAccumulate : MmadStart::kZero, m, n, k, k / 32,
                Bytes(operands.a), full.data(), Bytes(operands.c), nullptr});
}

}  // namespace npufa_sim
