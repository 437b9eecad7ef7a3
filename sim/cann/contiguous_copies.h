// Copies of non-contiguous tensors, which the entry points that CANN generates make at the end of the workspace: of
// inputs before the kernel, and back after it where the kernel changed them in place. Each takes its bytes in units of
// 512; CANN's room for one is the business of a closed library.
#pragma once

#include <cstdint>
#include <vector>

#include "op_call.h"

namespace npufa_sim {

// One AutoContiguous input makes it so for all of the operator's but those that are IgnoreContiguous. Throws AclnnError
// for views that stay what they are.
void CheckContiguous(const std::vector<CallParam>& inputs, const std::vector<CallParam>& outputs);

// Bytes that the copies take, and those of a workspace for a kernel and them.
std::uint64_t BytesOfCopies(const std::vector<CallParam>& inputs);
std::uint64_t BytesWithCopies(std::uint64_t kernel_bytes, const std::vector<CallParam>& inputs);

// The parameters of one launch.
class ContiguousCopies {
 public:
  // `memory` has room for the copies.
  ContiguousCopies(const std::vector<CallParam>& inputs, const std::vector<CallParam>& outputs, void* memory);

  const std::vector<CallParam>& Inputs() const { return inputs_; }
  const std::vector<CallParam>& Outputs() const { return outputs_; }
  void WriteBack() const;

 private:
  struct Copy {
    TensorView view, copy;
  };

  std::vector<CallParam> inputs_, outputs_;
  std::vector<Copy> changed_;  // in place
};

}  // namespace npufa_sim
