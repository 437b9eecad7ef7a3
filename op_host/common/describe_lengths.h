// Sequence lengths (SPEC sections 2 and 5): per batch, or cumulative in packed layouts.
#pragma once

#include "attention_spec.h"
#include "packed_lengths.h"

namespace npufa {

// Per-batch lengths: one entry for all, or at least one per sequence; none for an empty batch.
template <class Int>
std::vector<Int> BatchLengths(const char* op, const char* argument, const std::vector<Int>& list, const Int& batch,
                              const Int& most) {
  const Int count(static_cast<std::int64_t>(list.size()));
  const bool broadcast = list.size() == 1;
  if (list.empty() && KnownEq(batch, Int(0))) return {};
  if (list.empty() || (!broadcast && KnownLt(count, batch))) {
    Fail(op, argument, "has the wrong number of entries", list.size(), "1 or at least the batch size " + Show(batch));
  }
  std::vector<Int> lengths;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!broadcast && !KnownLt(Int(static_cast<std::int64_t>(i)), batch)) break;
    if (KnownLt(list[i], Int(0)) || KnownLt(most, list[i])) {
      Fail(op, argument, "has a length out of range", list[i], "0.." + Show(most));
    }
    lengths.push_back(list[i]);
  }
  return lengths;
}

// One query row takes part or not, and its length says no more: CANN ignores it there, and vLLM passes cumulative ones.
template <class Int>
std::vector<Int> OneRowLengths(const char* op, const char* argument, const std::vector<Int>& list, const Int& batch) {
  std::vector<Int> rows = BatchLengths(op, argument, list, batch, Int(std::numeric_limits<std::int64_t>::max()));
  for (Int& length : rows) length = KnownEq(length, Int(0)) ? Int(0) : Int(1);
  return rows;
}

// The number of lengths, wherever they are; raises without any.
template <class Int>
Int CountLengths(const AttentionCall<Int>& call, const char* argument, const OptionalList<Int>& list,
                 const TensorDesc<Int>& tensor) {
  if (tensor) return tensor.Size(0);
  if (list) return Int(static_cast<std::int64_t>(list->size()));
  Fail(call.op, argument, "is missing", "None", "cumulative lengths for input_layout " + call.input_layout);
}

template <class Int>
void DescribePackedLengths(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  spec->batch = CountLengths(call, call.names.q_lens, call.q_lens, call.q_lens_tensor);
  const Int kv_count = CountLengths(call, call.names.kv_lens, call.kv_lens, call.kv_lens_tensor);
  if (KnownNe(kv_count, spec->batch)) {
    Fail(op, call.names.kv_lens, "has another number of sequences than the query", kv_count, Show(spec->batch));
  }
  const bool packed_keys = spec->cache == CacheLayout::kNone;
  PackedList<Int> query, key;
  if (call.q_lens) query = ReadPackedList(call.names.q_lens, *call.q_lens, spec->q_tokens, call.q_lens_cumulative);
  query.plain = query.plain && !call.q_lens_tensor;
  if (packed_keys) {
    if (call.kv_lens) key = ReadPackedList(call.names.kv_lens, *call.kv_lens, spec->kv_tokens, call.kv_lens_cumulative);
    key.plain = key.plain && !call.kv_lens_tensor;
  }
  spec->plain_lens = ArePlainLengths(op, query, key, call.kind == OpKind::kFusion);
  const auto lengths = [&](const PackedList<Int>& list) {
    return spec->plain_lens ? list.entries : SequenceLengths(list.entries);
  };
  spec->q_lens = lengths(query);
  if (packed_keys) {
    spec->kv_lens = lengths(key);
  } else if (call.kv_lens) {
    spec->kv_lens = BatchLengths(op, call.names.kv_lens, *call.kv_lens, spec->batch, spec->kv_tokens);
  }
}

template <class Int>
void CheckLengthTensor(const AttentionCall<Int>& call, const char* argument, const OptionalList<Int>& list,
                       const TensorDesc<Int>& t, const AttentionSpec<Int>& spec) {
  if (list) Fail(call.op, argument, "is given twice", "a list and a tensor", "one of them");
  RequireDType(call.op, argument, t, {DType::kInt64, DType::kInt32});
  if (t.Dim() != 1) Fail(call.op, argument, "has the wrong number of dimensions", t.sizes, "one dimension");
  const Int& count = t.Size(0);
  if (!spec.IsPackedBatch() && KnownNe(count, Int(1)) && KnownLt(count, spec.batch)) {
    Fail(call.op, argument, "has the wrong number of entries", count,
         "1 or at least the batch size " + Show(spec.batch));
  }
}

template <class Int>
void DescribePaddingSize(const char* op, const char* argument, const TensorDesc<Int>& t) {
  RequireDType(op, argument, t, {DType::kInt64});
  RequireOneElement(op, argument, t);
}

template <class Int>
void DescribeLengths(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  if (call.query_padding_size) DescribePaddingSize(call.op, "query_padding_size", call.query_padding_size);
  if (call.kv_padding_size) DescribePaddingSize(call.op, "kv_padding_size", call.kv_padding_size);
  if (call.q_lens_tensor) CheckLengthTensor(call, call.names.q_lens, call.q_lens, call.q_lens_tensor, *spec);
  if (call.kv_lens_tensor) {
    CheckLengthTensor(call, call.names.kv_lens, call.kv_lens, call.kv_lens_tensor, *spec);
  }
  spec->q_lens_on_device = call.q_lens_tensor.defined;
  spec->kv_lens_on_device = call.kv_lens_tensor.defined;
  if (spec->IsPackedBatch()) {
    if (call.query_padding_size || call.kv_padding_size) {
      Fail(call.op, call.query_padding_size ? "query_padding_size" : "kv_padding_size",
           "does not go with a packed layout", call.input_layout, "None");
    }
    DescribePackedLengths(call, spec);
  } else {
    if (call.q_lens && call.kind != OpKind::kIncre) {
      const bool one_row = call.IsInference() && KnownEq(spec->q_tokens, Int(1));
      spec->q_lens = one_row ? OneRowLengths(call.op, call.names.q_lens, *call.q_lens, spec->batch)
                             : BatchLengths(call.op, call.names.q_lens, *call.q_lens, spec->batch, spec->q_tokens);
    }
    if (call.kv_lens) {
      spec->kv_lens = BatchLengths(call.op, call.names.kv_lens, *call.kv_lens, spec->batch, spec->kv_tokens);
    }
    spec->left_padded_q = call.query_padding_size.defined && (spec->q_lens_on_device || !spec->q_lens.empty());
    spec->left_padded_kv = call.kv_padding_size.defined && (spec->kv_lens_on_device || !spec->kv_lens.empty());
  }
  if (spec->cache != CacheLayout::kNone && KnownNe(call.block_table.Size(0), spec->batch)) {
    Fail(call.op, "block_table", "has another batch size than query", call.block_table.sizes,
         "(" + Show(spec->batch) + ", max blocks)");
  }
}

}  // namespace npufa
