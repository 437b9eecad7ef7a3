// What the inference operators return on every backend.
#pragma once

#include "describe.h"
#include "results.h"

namespace npufa {

template <class Int>
std::vector<ResultShape<Int>> InferenceResults(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec) {
  std::vector<ResultShape<Int>> shapes;
  shapes.reserve(2);
  shapes.push_back({"attention_out", spec.OutputSizes(), ToTorch(spec.out_dtype)});
  if (call.kind != OpKind::kFusedInfer) return shapes;
  const std::vector<Int> none = {Int(0)};
  shapes.push_back({"softmax_lse", call.softmax_lse ? spec.LseSizes() : none, at::kFloat, call.softmax_lse});
  return shapes;
}

}  // namespace npufa
