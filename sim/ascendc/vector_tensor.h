// Tensors and element types as the vector templates hand them on.
#pragma once

#include "tensor.h"
#include "vector_params.h"

namespace npufa_sim {

template <class T, class... Supported>
inline constexpr bool kOneOf = (std::is_same_v<T, Supported> || ...);

template <class T>
VectorTensor Operand(const char* name, const AscendC::LocalTensor<T>& tensor, OperandStride stride = {}) {
  return {Ref(name, tensor), DtypeOf<T>(), stride};
}

// Strides of a call on the first elements of a tensor: no gaps, also where an operand is narrower than the widest.
template <class T, class Widest>
OperandStride Contiguous() {
  constexpr std::int64_t bits = std::is_same_v<T, AscendC::int4b_t> ? 4 : sizeof(T) * 8;
  constexpr std::int64_t widest = std::is_same_v<Widest, AscendC::int4b_t> ? 4 : sizeof(Widest) * 8;
  return {1, 8 * bits / (bits > widest ? bits : widest)};
}

}  // namespace npufa_sim
