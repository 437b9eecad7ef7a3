// What happens to an element between L0C and its destination.
#pragma once

#include <cstdint>

#include "cube_params.h"
#include "dtypes.h"

namespace npufa_sim {

// A 64-bit quantisation parameter.
struct QuantScale {
  float factor;    // of the 32 low bits as a float: sign, exponent and 10 bits of fraction
  int shift;       // right shift of int32_t before it becomes float; 0: none
  int offset;      // added to 8-bit results
  bool is_signed;  // 8-bit results

  explicit QuantScale(std::uint64_t bits);
};

class FixpipeConverter {
 public:
  // `scales`: a parameter for each column, or one for all when `per_column` is not set.
  FixpipeConverter(QuantMode_t mode, Dtype dst, bool relu, const std::uint64_t* scales, bool per_column)
      : mode_(mode), dst_(dst), relu_(relu), scales_(scales), per_column_(per_column) {}

  // Columns [column, column + count) of a row, at most 16.
  void Row(std::uint8_t* dst, const std::uint8_t* src, std::int64_t column, std::int64_t count) const;
  // Whether elements stay as they are.
  bool Copies() const { return mode_ == NoQuant && !relu_; }

 private:
  void Plain(std::uint8_t* dst, const std::uint8_t* src, std::int64_t count) const;
  void Quantised(std::uint8_t* dst, const std::uint8_t* src, std::int64_t column, std::int64_t count) const;

  QuantMode_t mode_;
  Dtype dst_;
  bool relu_;
  const std::uint64_t* scales_;
  bool per_column_;
};

// Whether the mode turns the type of L0C into that of the destination.
bool ModeFits(QuantMode_t mode, Dtype src, Dtype dst);
inline bool IsPerColumn(QuantMode_t mode) { return mode == VDEQF16 || mode == VQF322B8_PRE || mode == VREQ8; }
inline bool IsScaled(QuantMode_t mode) {
  return mode == DEQF16 || mode == QF322B8_PRE || mode == REQ8 || IsPerColumn(mode);
}

}  // namespace npufa_sim
