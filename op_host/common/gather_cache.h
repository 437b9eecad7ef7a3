// Arguments of npu_gather_pa_kv_cache (SPEC section 9b), and their checks.
#pragma once

#include "paged_rows.h"

namespace npufa {

template <class Int>
struct GatherCall {
  const char* op;
  PagedRows<Int> keys, values;
  Int tokens;  // that key and value have room for
  Int sequences;
  TensorDesc<Int> block_tables, seq_lens, seq_offset;
  bool cumulative;  // lengths count from the first sequence on, and begin with 0
};

// Reader: framework's Arguments, or NamedReader of a context of CANN.
template <class Int, class Reader>
GatherCall<Int> ReadGather(const Reader& a) {
  const char* op = a.Op();
  const auto desc = [&](const char* name) { return a.template Desc<Int>(name); };
  const TensorDesc<Int> key = desc("key"), value = desc("value"), value_cache = desc("value_cache");
  GatherCall<Int> call{op,
                       {},
                       {},
                       Int(0),
                       Int(0),
                       desc("block_tables"),
                       desc("seq_lens"),
                       desc("seq_offset"),
                       a.Flag("is_seq_lens_cumsum")};
  call.keys = DescribePagedRows(op, "", "key", key, "key_cache", desc("key_cache"));
  call.values = DescribePagedRows(op, "", "value", value, "value_cache", value_cache);
  SetBlockStep(a.Integer("key_block_step"), &call.keys);
  SetBlockStep(a.Integer("value_block_step"), &call.values);
  RequireSameBlocks(op, "value_cache", value_cache, call.values, "key_cache", call.keys);
  if (KnownNe(value.Size(0), key.Size(0))) {
    Fail(op, "value", "differs from key in its tokens", value.sizes, Show(key.Size(0)) + " tokens");
  }
  if (value.dtype != key.dtype) Fail(op, "value", "differs from key in dtype", NameOf(value.dtype), NameOf(key.dtype));
  call.tokens = key.Size(0);
  const std::initializer_list<DType> integers = {DType::kInt32, DType::kInt64};
  RequireDType(op, "block_tables", call.block_tables, integers);
  RequireDType(op, "seq_lens", call.seq_lens, integers);
  if (call.block_tables.Dim() != 2) {
    Fail(op, "block_tables", "has the wrong number of dimensions", call.block_tables.sizes, "2: (sequences, blocks)");
  }
  call.sequences = call.block_tables.Size(0);
  const std::vector<Int> lengths = {call.cumulative ? Int(call.sequences + Int(1)) : call.sequences};
  if (!SameSizes(call.seq_lens, lengths)) {
    Fail(op, "seq_lens", "has the wrong shape", call.seq_lens.sizes,
         Show(lengths) + (call.cumulative ? ": 0 and the end of each sequence" : ": a length for each sequence"));
  }
  if (!call.seq_offset) return call;
  RequireDType(op, "seq_offset", call.seq_offset, integers);
  if (!SameSizes(call.seq_offset, {call.sequences})) {
    Fail(op, "seq_offset", "has the wrong shape", call.seq_offset.sizes,
         Show(std::vector<Int>{call.sequences}) + ": a first token for each sequence");
  }
  return call;
}

}  // namespace npufa
