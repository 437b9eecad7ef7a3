// Of the matrix library kernels get what stands beside its object; the object itself raises by name.
#pragma once

#include "kernel_operator.h"
#include "kernel_tiling/kernel_tiling.h"

namespace AscendC {

enum class CubeFormat { ND = 0, NZ, ZN, ZZ, NN, ND_ALIGN, SCALAR, VECTOR, ROW_MAJOR, COLUMN_MAJOR };

template <TPosition position, CubeFormat matrix_format, class Type, bool transpose = false>
struct MatmulType {
  static constexpr TPosition pos = position;
  static constexpr CubeFormat format = matrix_format;
  static constexpr bool isTrans = transpose;
  using T = Type;
};

template <class A, class... Others>
class Matmul {
  static_assert(sizeof(A) == 0,
                "the simulator has no Matmul object (lib/matmul_intf.h): use LoadData, Mmad and Fixpipe");
};
template <class A, class... Others>
using MatmulImpl = Matmul<A, Others...>;

template <class T, class U>
constexpr T CeilAlign(T num1, U num2) {
  return num2 == 0 ? 0 : (num1 + num2 - 1) / num2 * num2;
}
template <class T, class U>
constexpr T CeilT(T num1, U num2) {
  return num2 == 0 ? 0 : (num1 + num2 - 1) / num2;
}

}  // namespace AscendC

namespace matmul = AscendC;

#define REGIST_MATMUL_OBJ(...) \
  static_assert(false, "the simulator has no Matmul object (lib/matmul_intf.h): use LoadData, Mmad and Fixpipe")
