// dst = src0 + src1 and its like.
#pragma once

#include "vector_binary.h"
#include "vector_select.h"

namespace npufa_sim {

constexpr AscendC::CMPMODE ModeOf(TensorOperator op) {
  switch (op) {
    case TensorOperator::kLess: return AscendC::CMPMODE::LT;
    case TensorOperator::kGreater: return AscendC::CMPMODE::GT;
    case TensorOperator::kEqual: return AscendC::CMPMODE::EQ;
    case TensorOperator::kLessEqual: return AscendC::CMPMODE::LE;
    case TensorOperator::kGreaterEqual: return AscendC::CMPMODE::GE;
    default: return AscendC::CMPMODE::NE;
  }
}

template <TensorOperator op, class Tensor>
template <class Result>
void TensorExpression<op, Tensor>::Into(const Result& dst) const {
  const auto count = static_cast<std::int32_t>(dst.GetSize());
  if constexpr (op == TensorOperator::kAdd) AscendC::Add(dst, src0, src1, count, site);
  else if constexpr (op == TensorOperator::kSub) AscendC::Sub(dst, src0, src1, count, site);
  else if constexpr (op == TensorOperator::kMul) AscendC::Mul(dst, src0, src1, count, site);
  else if constexpr (op == TensorOperator::kDiv) AscendC::Div(dst, src0, src1, count, site);
  else if constexpr (op == TensorOperator::kOr) AscendC::Or(dst, src0, src1, count, site);
  else if constexpr (op == TensorOperator::kAnd) AscendC::And(dst, src0, src1, count, site);
  else AscendC::Compare(dst, src0, src1, ModeOf(op), src0.GetSize(), site);
}

}  // namespace npufa_sim
