// Results of an attention operator: new tensors, or those of the caller in the overloads with `out`.
#pragma once

#include <vector>

#include "arguments.h"

namespace npufa {

template <class Int>
struct ResultShape {
  const char* name;
  std::vector<Int> sizes;
  at::ScalarType dtype;
  bool computed = true;  // false: a placeholder; nothing is written into a tensor given for it
};

// One tensor for each shape, on the device of query. Given tensors (and the given workspace) are checked first: number,
// device, dtype, sizes, contiguous, memory of their own.
template <class Int>
std::vector<at::Tensor> MakeResults(const Arguments& a, const std::vector<ResultShape<Int>>& shapes);

// Replaces the arguments on the stack.
void ReturnResults(const c10::OperatorHandle& op, torch::jit::Stack* stack, std::vector<at::Tensor> results);

// Replaces the arguments of a get_max_workspace operator: uint8 (bytes,) on the device of query.
void ReturnWorkspace(const c10::OperatorHandle& op, torch::jit::Stack* stack, const at::Tensor& query,
                     std::uint64_t bytes);

}  // namespace npufa
