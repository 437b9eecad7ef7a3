#include <vector>

#include "core_registers.h"
#include "load_data_moves.h"
#include "mmad_issue.h"

namespace npufa_sim {
namespace {

constexpr const char* kName = "Mmad";
constexpr std::int64_t kSize = 16;        // rows and columns of a fractal of L0C
constexpr std::int64_t kAccumulator = 4;  // bytes
constexpr std::int64_t kResultRow = kSize * kAccumulator;
constexpr std::int64_t kResultFractal = kSize * kResultRow;
constexpr std::int64_t kUnorderedFractals = 10;  // below it, accumulating into one tile back to back needs a barrier

std::int64_t Fractals(std::int64_t elements, std::int64_t size) { return (elements + size - 1) / size; }

MmadInput InputOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kHalf: return MmadInput::kHalf;
    case Dtype::kBfloat16: return MmadInput::kBfloat16;
    case Dtype::kInt8: return MmadInput::kInt8;
    case Dtype::kInt4: return MmadInput::kInt4;
    default: break;
  }
  if (!Control().Bit(kHf32Bit)) return MmadInput::kFloat;
  return Control().Bit(kHf32TiesBit) ? MmadInput::kHf32NearestZero : MmadInput::kHf32NearestEven;
}

MmadType TypeOf(MmadInput input) {
  switch (input) {
    case MmadInput::kHalf: return MmadType::kHalf;
    case MmadInput::kBfloat16: return MmadType::kBfloat16;
    case MmadInput::kFloat: return MmadType::kFloat32;
    case MmadInput::kInt8: return MmadType::kInt8;
    case MmadInput::kInt4: return MmadType::kInt4;
    default: return MmadType::kHf32;
  }
}

MmadStart StartOf(const MmadOperands& operands, const AscendC::MmadParams& params) {
  if (operands.bias) {
    if (params.cmatrixInitVal) return MmadStart::kZero;
    return operands.bias->space == Space::kBT ? MmadStart::kBiasRow : MmadStart::kOtherTile;
  }
  if (params.cmatrixInitVal && !params.isBias) return MmadStart::kZero;
  return params.cmatrixSource ? MmadStart::kBiasRow : MmadStart::kAccumulate;
}

// Bytes of the first `elements` of K within a row of 32 bytes.
std::int64_t TailBytes(std::int64_t elements, std::int64_t c0) { return (elements * kRowBytes + c0 - 1) / c0; }

// L0A, rows of fractals: the m x k elements and nothing of the padding around them.
void ReadLeft(Instruction& ins, const TensorRef& a, std::int64_t m, std::int64_t k, std::int64_t c0,
              std::int64_t fractals, OperandRule inside) {
  OperandRule rule = inside;
  rule.align = kFractalBytes;
  if (m == 1) {
    ins.Read(a, {0, TailBytes(k, c0)}, rule);
    return;
  }
  const std::int64_t stride = fractals * kFractalBytes, full_k = k / c0, tail_k = TailBytes(k % c0, c0);
  const std::int64_t full_m = m / kSize, tail_m = m % kSize, below = full_m * stride, right = full_k * kFractalBytes;
  ins.Read(a, {0, full_k * kFractalBytes, 1, 0, full_m, stride}, rule);
  ins.Read(a, {below, tail_m * kRowBytes, full_k, kFractalBytes}, rule);
  if (tail_k == 0) return;
  ins.Read(a, {right, tail_k, kSize, kRowBytes, full_m, stride}, inside);
  if (tail_m > 0) ins.Read(a, {below + right, tail_k, tail_m, kRowBytes}, inside);
}

// L0B, for each fractal of K all columns one after another, 32 bytes of K to a column.
void ReadRight(Instruction& ins, const TensorRef& b, std::int64_t k, std::int64_t n, std::int64_t c0,
               OperandRule inside) {
  OperandRule rule = inside;
  rule.align = kFractalBytes;
  const std::int64_t stride = Fractals(n, kSize) * kFractalBytes, full_k = k / c0, tail_k = TailBytes(k % c0, c0);
  ins.Read(b, {0, n * kRowBytes, full_k, stride}, rule);
  ins.Read(b, {full_k * stride, tail_k, tail_k > 0 ? n : 0, kRowBytes}, inside);
}

// Elements of the result that a row of the left or a column of the right matrix leaves undefined.
class UndefinedResult {
 public:
  UndefinedResult(Instruction& ins, const MmadOperands& operands, std::int64_t m, std::int64_t n, std::int64_t k,
                  std::int64_t c0, std::int64_t fractals)
      : ins_(ins), c_(operands.c), rows_(m), columns_(n), height_(Fractals(m, kSize) * kResultFractal) {
    for (const Instruction::Operand& operand : ins.operands()) {
      complete_ = complete_ && (operand.write || ins.AllWritten(operand.tensor, operand.extent));
    }
    if (complete_) return;
    const std::int64_t full_k = k / c0, tail = TailBytes(k % c0, c0), stride = Fractals(n, kSize) * kFractalBytes;
    const auto written = [&](const TensorRef& tensor, std::int64_t first, std::int64_t step) {
      return ins.AllWritten(tensor, {first, kRowBytes, full_k, step}) &&
             (tail == 0 || ins.AllWritten(tensor, {first + full_k * step, tail}));
    };
    for (std::int64_t row = 0; row < m; ++row) {
      const std::int64_t first = row / kSize * fractals * kFractalBytes + row % kSize * kRowBytes;
      rows_[row] =
          m == 1 ? !ins.AllWritten(operands.a, {0, TailBytes(k, c0)}) : !written(operands.a, first, kFractalBytes);
    }
    for (std::int64_t column = 0; column < n; ++column) {
      columns_[column] = !written(operands.b, column * kRowBytes, stride);
    }
  }

  // The sums start from these: a value for each column, or a tile like the result.
  void StartFrom(const TensorRef& initial, bool row) {
    for (std::size_t j = 0; j < columns_.size() && !complete_; ++j) {
      const auto column = static_cast<std::int64_t>(j);
      if (row) columns_[j] = columns_[j] || !ins_.AllWritten(initial, {column * kAccumulator, kAccumulator});
      for (std::size_t i = 0; i < rows_.size() && !row; ++i) {
        const std::int64_t at = OffsetOf(static_cast<std::int64_t>(i), column);
        if (!ins_.AllWritten(initial, {at, kAccumulator})) others_.push_back(at);
      }
    }
  }

  void Mark() const {
    for (const std::int64_t at : others_) ins_.Undefine(c_, {at, kAccumulator});
    for (std::size_t i = 0; i < rows_.size() && !complete_; ++i) {
      for (std::size_t j = 0; j < columns_.size(); ++j) {
        if (!rows_[i] && !columns_[j]) continue;
        ins_.Undefine(c_, {OffsetOf(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)), kAccumulator});
      }
    }
  }

 private:
  std::int64_t OffsetOf(std::int64_t row, std::int64_t column) const {
    return column / kSize * height_ + row * kResultRow + column % kSize * kAccumulator;
  }

  Instruction& ins_;
  const TensorRef& c_;
  std::vector<bool> rows_, columns_;
  const std::int64_t height_;
  std::vector<std::int64_t> others_;
  bool complete_ = true;
};

// The m x n elements of a tile in L0C.
template <class Declare>
void ForTile(std::int64_t m, std::int64_t n, const Declare& declare) {
  const std::int64_t stride = Fractals(m, kSize) * kResultFractal, full_n = n / kSize, tail_n = n % kSize;
  if (full_n > 0) declare(Extent{0, m * kResultRow, full_n, stride});
  if (tail_n > 0) declare(Extent{full_n * stride, tail_n * kAccumulator, m, kResultRow});
}

// What the cube leaves in the padding of the tile means nothing.
void ClobberPadding(Instruction& ins, const TensorRef& c, std::int64_t m, std::int64_t n, OperandRule rule) {
  rule.undefined = true;
  rule.align = 1;
  const std::int64_t stride = Fractals(m, kSize) * kResultFractal, tail_n = n % kSize;
  if (m % kSize != 0) ins.Write(c, {m * kResultRow, stride - m * kResultRow, Fractals(n, kSize), stride}, rule);
  if (tail_n != 0) {
    ins.Write(c, {n / kSize * stride + tail_n * kAccumulator, kResultRow - tail_n * kAccumulator, m, kResultRow}, rule);
  }
}

// Modes outlive a kernel.
void RequireOwnMode(Dtype dtype, Site site) {
  if (dtype != Dtype::kFloat || !Control().Inherited(kHf32Bit)) return;
  Finding("inherited-mode", site, kName, "multiplies floats in the HF32 mode that an earlier kernel may have left on",
          "SetHF32Mode(false), or true, at the start of the kernel");
}

void RequireSpaces(const MmadOperands& operands, Site site) {
  if (operands.c.space != Space::kL0C) Unsupported(site, kName, "with a result outside L0C");
  if (operands.a.space != Space::kL0A) Unsupported(site, kName, "with a left matrix outside L0A");
  if (operands.b.space != Space::kL0B) Unsupported(site, kName, "with a right matrix outside L0B");
  if (operands.bias && operands.bias->space != Space::kBT && operands.bias->space != Space::kL0C) {
    Unsupported(site, kName, "with a bias outside the bias table and L0C");
  }
}

}  // namespace

void MatrixMultiply(const MmadOperands& operands, const AscendC::MmadParams& params, Site site) {
  if (!CoreHas(Space::kL0C)) return;
  RequireSpaces(operands, site);
  RequireOwnMode(operands.input, site);
  Instruction ins(kName, Pipe::kM, site);
  const std::int64_t m = Checked(ins, "m", params.m, 0, 4095, "0 to 4095");
  const std::int64_t n = Checked(ins, "n", params.n, 0, 4095, "0 to 4095");
  const std::int64_t k = Checked(ins, "k", params.k, 0, 4095, "0 to 4095");
  if (m == 0 || n == 0 || k == 0) return;

  const MmadInput input = InputOf(operands.input);
  const std::int64_t c0 = ElementsPerRow(input);
  const bool pairs = params.kDirectionAlign && c0 == 8 && m != 1;
  const std::int64_t fractals = pairs ? 2 * Fractals(k, 2 * c0) : Fractals(k, c0);
  OperandRule numbers;
  numbers.carries = true;
  if (c0 <= 16) numbers.numbers = static_cast<std::uint8_t>(kRowBytes / c0);
  ReadLeft(ins, operands.a, m, k, c0, fractals, numbers);
  ReadRight(ins, operands.b, k, n, c0, numbers);

  const MmadStart start = StartOf(operands, params);
  const TensorRef table{"bias", Space::kBT, 0, 0, SpaceBytes(Space::kBT)};
  const TensorRef& initial = operands.bias ? *operands.bias : table;
  OperandRule rule{1024};
  rule.unit_flag = params.unitFlag != 0;
  rule.ordered_in_pipe = (m / kSize) * (n / kSize) >= kUnorderedFractals;
  rule.carries = true;
  OperandRule bias{64};
  bias.carries = true;
  if (start == MmadStart::kBiasRow) ins.Read(initial, {0, n * kAccumulator}, bias);
  if (start == MmadStart::kOtherTile) ForTile(m, n, [&](const Extent& e) { ins.Read(initial, e, rule); });
  OperandRule element = rule;
  element.align = 1;
  if (operands.c.address % rule.align != 0) {
    Fault("misaligned", site, kName, "the address of dst in L0C is not a multiple of 1024 bytes",
          "start every tile of L0C on a fractal");
  }
  ForTile(m, n, [&](const Extent& e) {
    if (start == MmadStart::kAccumulate) ins.Read(operands.c, e, element);
    ins.Write(operands.c, e, element);
  });
  ClobberPadding(ins, operands.c, m, n, element);
  UndefinedResult undefined(ins, operands, m, n, k, c0, fractals);
  if (start != MmadStart::kZero) {
    undefined.StartFrom(start == MmadStart::kAccumulate ? operands.c : initial, start == MmadStart::kBiasRow);
  }
  ins.Issue({OpClass::kMmad, static_cast<std::uint32_t>(m), static_cast<std::uint32_t>(n),
             static_cast<std::uint32_t>(k), static_cast<std::uint8_t>(TypeOf(input))});
  undefined.Mark();

  const bool beside = start == MmadStart::kBiasRow || start == MmadStart::kOtherTile;
  MultiplyTile({input, start, m, n, k, fractals, Bytes(operands.a), Bytes(operands.b), Bytes(operands.c),
                beside ? Bytes(initial) : nullptr});
}

}  // namespace npufa_sim
