// Arguments of the operators that write tokens into paged caches (SPEC section 9b), and their checks.
#pragma once

#include <tuple>
#include <vector>

#include "paged_rows.h"

namespace npufa {

template <class Int>
struct ScatterSide {
  const char* rows_name;
  const char* cache_name;
  PagedRows<Int> rows{};
};

template <class Int>
struct ScatterCall {
  const char* op;
  const char* slots_name;
  TensorDesc<Int> slots;
  Int tokens;
  std::vector<ScatterSide<Int>> sides;  // keys, and values if there are any
};

// The operator that does the work of npu_scatter_pa_cache has its name behind an underscore.
template <class Reader>
const char* ScatterName(const Reader& a) {
  return a.Has("compress_lens") && a.Op()[0] == '_' ? a.Op() + 1 : a.Op();
}

// Reader: framework's Arguments, or NamedReader of a context of CANN.
template <class Int, class Reader>
ScatterCall<Int> ReadScatter(const Reader& a) {
  const char* op = ScatterName(a);
  for (const char* name : {"compress_lens", "compress_seq_offsets", "seq_lens"}) {
    if (a.template Desc<Int>(name)) {
      Fail(op, name, "does not go with tokens of three dimensions", "a tensor",
           "None, or keys of four, (B, S, N, D), for a compressed cache");
    }
  }
  ScatterCall<Int> call{op, a.Has("slot_indices") ? "slot_indices" : "slot_mapping", {}, Int(0), {}};
  call.slots = a.template Desc<Int>(call.slots_name);
  const std::string mode = a.Has("cache_mode") ? a.Text("cache_mode") : "";
  const TensorDesc<Int> key = a.template Desc<Int>("key");
  for (const auto& [rows_name, cache_name, step_name] :
       {std::tuple{"key", "key_cache", "key_block_step"}, std::tuple{"value", "value_cache", "value_block_step"}}) {
    if (!a.Has(rows_name)) continue;
    const TensorDesc<Int> rows = a.template Desc<Int>(rows_name), cache = a.template Desc<Int>(cache_name);
    call.sides.push_back({rows_name, cache_name, DescribePagedRows(op, mode, rows_name, rows, cache_name, cache)});
    SetBlockStep(a.Integer(step_name), &call.sides.back().rows);
    if (KnownNe(rows.Size(0), key.Size(0))) {
      Fail(op, rows_name, "differs from key in its tokens", rows.sizes, Show(key.Size(0)) + " tokens");
    }
    if (call.sides.size() > 1) {
      RequireSameBlocks(op, cache_name, cache, call.sides[1].rows, "key_cache", call.sides[0].rows);
    }
  }
  call.tokens = key.Size(0);
  RequireDType(op, call.slots_name, call.slots, {DType::kInt32, DType::kInt64});
  if (!SameSizes(call.slots, {call.tokens})) {
    Fail(op, call.slots_name, "has the wrong shape", call.slots.sizes,
         Show(std::vector<Int>{call.tokens}) + ": a slot for each token");
  }
  return call;
}

}  // namespace npufa
