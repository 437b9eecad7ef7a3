// From torch tensors and a validated spec to a Problem for the CPU loops.
#pragma once

#include <vector>

#include "attention_calls.h"
#include "cpu/attention/problem.h"

namespace npufa::cpu {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

// Owns the copies that the Problem points into.
struct BuiltProblem {
  Problem problem;
  std::vector<at::Tensor> owned;
  bool partial_rows = false;  // some output rows belong to no query token and keep their fill
};

// Torch's threads, whose number and pool rule.
Executor TorchExecutor();

// Byte strides of a tensor whose channels are contiguous.
Strided View(const at::Tensor& t, Layout layout, std::int64_t heads);

// Raises for an id in `block_table`, on any device, that leads out of the cache. BuildInference() does so, too.
void CheckBlockIds(const Arguments& a, const Call& call, const Spec& spec);

BuiltProblem BuildFusion(const Arguments& a, const Call& call, const Spec& spec);
BuiltProblem BuildInference(const Arguments& a, const Call& call, const Spec& spec);

}  // namespace npufa::cpu
