#include <cmath>

#include "tiles.h"

namespace npufa::cpu {

namespace {

void AddMatrixRow(const Bias& bias, const Sequence& s, std::int64_t i, std::int64_t first_key, std::int64_t keys,
                  std::int64_t row_stride, float factor, const float* grad, float* out) {
  const StoredBiasRow at = LocateBias(bias, i + s.mask_row, first_key + s.mask_column, keys);
  float* row = out + at.row * row_stride + at.column;
  for (std::int64_t j = 0; j < at.columns; ++j) row[j] += factor * grad[j];
}

// d(-slope * f(|distance|)) / d slope, summed over a row.
double SlopeGradient(Bias::Kind kind, std::int64_t distance, std::int64_t keys, const float* grad) {
  double sum = 0.0;
  for (std::int64_t j = 0; j < keys; ++j) {
    const double d = static_cast<double>(std::llabs(distance + j));
    sum -= static_cast<double>(grad[j]) * (kind == Bias::Kind::kSquareRoot ? std::sqrt(d) : d);
  }
  return sum;
}

}  // namespace

void AddBiasGradient(const Problem& p, const BackwardOutputs& out, const RowRange& tile, std::int64_t first_key,
                     std::int64_t keys, const float* grad, std::int64_t ld) {
  const Sequence& s = *tile.sequence;
  for (std::int64_t r = tile.begin; r < tile.end; ++r, grad += ld) {
    const std::int64_t i = tile.Token(r);
    float* head = out.grad_bias + s.batch * out.bias_batch + tile.QueryHead(p, r) * out.bias_head;
    if (p.bias.kind == Bias::Kind::kMatrix || p.bias.kind == Bias::Kind::kCompressed) {
      AddMatrixRow(p.bias, s, i, first_key, keys, out.bias_row, p.bias.scaled ? p.scale : 1.0f, grad, head);
    } else {
      *head += static_cast<float>(SlopeGradient(p.bias.kind, first_key + p.bias.distance - i, keys, grad));
    }
  }
}

}  // namespace npufa::cpu
