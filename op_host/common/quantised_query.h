// A quantised query (query_quant_mode 3, SPEC section 7): int8 with a scale per token and head, beside an int8 key and
// value with one scale each. Ropes are not quantised, and their products are scaled with the others: they come divided
// by the scales of query and key, as npu_mla_prolog_v2 leaves them.
#pragma once

#include "attention_spec.h"

namespace npufa {

inline constexpr std::int64_t kQueryScalePerTokenHead = 3;

// An int8 query of an operator that has no scales of int8 products can only be one.
template <class Int>
bool IsQuantisedQuery(const AttentionCall<Int>& call) {
  if (call.query.dtype != DType::kInt8) return false;
  return call.dequant_scale_query || call.query_quant_mode != 0 || *call.names.dequant_scale1 == '\0';
}

// The query's without its channels.
template <class Int>
std::vector<Int> QueryScaleSizes(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec) {
  std::vector<Int> sizes = call.query.sizes;
  if (AxesOf(spec.q_layout).head < 0) {
    sizes.back() = spec.heads;
  } else {
    sizes.pop_back();
  }
  return sizes;
}

template <class Int>
void RequireNoQueryScale(const AttentionCall<Int>& call) {
  const std::string got = std::string(NameOf(call.query.dtype)) + " query";
  if (call.dequant_scale_query) Fail(call.op, "dequant_scale_query", "is only for an int8 query", got, "None");
  if (call.query_quant_mode != 0) {
    Fail(call.op, "query_quant_mode", "is only for an int8 query", call.query_quant_mode, "0 beside a " + got);
  }
}

template <class Int>
void CheckQueryScale(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec) {
  if (!spec.quant.quantised_query) return RequireNoQueryScale(call);
  const char* op = call.op;
  const ArgumentNames& n = call.names;
  const std::string since = ", since query is int8";
  if (call.query_quant_mode != kQueryScalePerTokenHead) {
    Fail(op, "query_quant_mode", "is not supported", call.query_quant_mode, "3 (per token and head)" + since);
  }
  const auto require = [&](const char* name, const TensorDesc<Int>& scale, const char* expected) {
    if (!scale) Fail(op, name, "is missing", "None", expected + since);
    RequireDType(op, name, scale, {DType::kFloat32});
  };
  require("dequant_scale_query", call.dequant_scale_query, "a scale per token and head");
  const std::vector<Int> sizes = QueryScaleSizes(call, spec);
  if (!SameSizes(call.dequant_scale_query, sizes)) {
    Fail(op, "dequant_scale_query", "has the wrong shape", call.dequant_scale_query.sizes, Show(sizes));
  }
  require(n.key_antiquant_scale, call.key_antiquant_scale, "one scale");
  require(n.value_antiquant_scale, call.value_antiquant_scale, "one scale");
  RequireOneElement(op, n.key_antiquant_scale, call.key_antiquant_scale);
  RequireOneElement(op, n.value_antiquant_scale, call.value_antiquant_scale);
  for (const auto& [name, mode] : {std::pair{n.key_antiquant_mode, call.key_antiquant_mode},
                                   std::pair{n.value_antiquant_mode, call.value_antiquant_mode}}) {
    if (mode != 0) Fail(op, name, "is not supported", mode, "0 (one scale)" + since);
  }
  for (const auto& [name, tensor] :
       {std::pair{n.key_antiquant_offset, &call.key_antiquant_offset},
        std::pair{n.value_antiquant_offset, &call.value_antiquant_offset},
        std::pair{n.antiquant_scale, &call.antiquant_scale}, std::pair{n.quant_scale2, &call.quant_scale2}}) {
    if (*tensor) Fail(op, name, "does not go with a quantised query", "a tensor", "None" + since);
  }
}

}  // namespace npufa
