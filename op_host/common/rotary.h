// Arguments of the rotary operators (SPEC section 9b), and their checks.
#pragma once

#include <string>
#include <vector>

#include "quantisation.h"

namespace npufa {

// "half", "interleave", or "deinterleave": pairs of neighbours, which leave as the two halves.
template <class Int>
struct RotaryCall {
  const char* op;
  const char* input_name;
  TensorDesc<Int> input, cosines, sines;
  std::string mode;
  bool transposed = false;
};

template <class Int>
void RequireRotaryMode(const char* op, const std::string& mode) {
  if (mode != "half" && mode != "interleave") {
    Fail(op, "rotary_mode", "is unknown", mode, "\"half\" or \"interleave\"");
  }
}

// Cosines or sines for the rows of `input`: every axis but the last has its extent, or 1.
template <class Int>
void RequireAngles(const char* op, const char* name, const TensorDesc<Int>& angles, const char* input_name,
                   const TensorDesc<Int>& input) {
  RequireDType(op, name, angles, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  bool fits = angles.Dim() == input.Dim();
  for (std::int64_t axis = 0; fits && axis < input.Dim(); ++axis) {
    const bool last = axis == input.Dim() - 1;
    fits = !KnownNe(angles.Size(axis), input.Size(axis)) || (!last && KnownEq(angles.Size(axis), Int(1)));
  }
  if (fits) return;
  Fail(op, name, "does not fit " + std::string(input_name), angles.sizes,
       Show(input.sizes) + ", where every extent but the last may be 1");
}

template <class Int>
void CheckRotary(const RotaryCall<Int>& c, const char* cosines_name, const char* sines_name) {
  constexpr std::int64_t kMostColumns = 1024;
  RequireDType(c.op, c.input_name, c.input, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  if (c.input.Dim() != 3 && c.input.Dim() != 4) {
    Fail(c.op, c.input_name, "has the wrong number of dimensions", c.input.sizes, "3 or 4");
  }
  const Int columns = c.input.Size(-1);
  if (KnownNe(Int(columns % Int(2)), Int(0)) || KnownLt(columns, Int(2)) || KnownLt(Int(kMostColumns), columns)) {
    Fail(c.op, c.input_name, "has an illegal head size", columns,
         "an even number up to " + std::to_string(kMostColumns));
  }
  RequireAngles(c.op, cosines_name, c.cosines, c.input_name, c.input);
  RequireAngles(c.op, sines_name, c.sines, c.input_name, c.input);
  if (!SameSizes(c.sines, c.cosines.sizes)) {
    Fail(c.op, sines_name, std::string("differs from ") + cosines_name + " in shape", c.sines.sizes,
         Show(c.cosines.sizes));
  }
}

// npu_rotary_mul, its derivative, and the operator that does the work of all.
// Reader: framework's Arguments, or NamedReader of a context of CANN.
template <class Int, class Reader>
RotaryCall<Int> ReadRotaryMul(const Reader& a) {
  const auto desc = [&](const char* name) { return a.template Desc<Int>(name); };
  RotaryCall<Int> call{
      a.Op(), "input", desc("input"), desc("r1"), desc("r2"), a.Text("rotary_mode"), a.Flag("transposed")};
  const bool is_work = a.Has("transposed");
  if (!is_work || call.mode != "deinterleave") RequireRotaryMode<Int>(call.op, call.mode);
  CheckRotary(call, "r1", "r2");
  if (const TensorDesc<Int> rotate = desc("rotate")) {
    RequireDType(call.op, "rotate", rotate, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
    const std::vector<Int> square = {call.input.Size(-1), call.input.Size(-1)};
    if (!SameSizes(rotate, square)) Fail(call.op, "rotate", "has the wrong shape", rotate.sizes, Show(square));
  }
  return call;
}

template <class Int, class Reader>
RotaryCall<Int> ReadInterleaveRope(const Reader& a) {
  const auto desc = [&](const char* name) { return a.template Desc<Int>(name); };
  RotaryCall<Int> call{a.Op(), "x", desc("x"), desc("cos"), desc("sin"), "deinterleave"};
  if (call.input.Dim() != 4)
    Fail(call.op, "x", "has the wrong number of dimensions", call.input.sizes, "4: (B, N, S, D)");
  CheckRotary(call, "cos", "sin");
  return call;
}

// Query and key, which turn by the same angles.
template <class Int, class Reader>
void CheckApplyRotary(const Reader& a) {
  const char* op = a.Op();
  const std::string layout = a.Text("layout"), mode = a.Text("rotary_mode");
  if (layout != "BSND" && layout != "SBND" && layout != "BNSD" && layout != "TND") {
    Fail(op, "layout", "is unknown", layout, "\"BSND\", \"SBND\", \"BNSD\" or \"TND\"");
  }
  RequireRotaryMode<Int>(op, mode);
  for (const char* name : {"query", "key"}) {
    const RotaryCall<Int> call{
        op, name, a.template Desc<Int>(name), a.template Desc<Int>("cos"), a.template Desc<Int>("sin"), mode};
    if (call.input.Dim() != static_cast<std::int64_t>(layout.size())) {
      Fail(op, name, "has the wrong number of dimensions", call.input.sizes,
           std::to_string(layout.size()) + " for layout " + layout);
    }
    CheckRotary(call, "cos", "sin");
  }
}

}  // namespace npufa
