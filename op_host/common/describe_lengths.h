// Sequence lengths (SPEC sections 2 and 5): per batch, or cumulative in packed layouts.
#pragma once

#include "attention_spec.h"

namespace npufa {

// Per-batch lengths: one entry for all, or at least one per sequence.
template <class Int>
std::vector<Int> BatchLengths(const char* op, const char* argument, const std::vector<Int>& list, const Int& batch,
                              const Int& most) {
  const Int count(static_cast<std::int64_t>(list.size()));
  const bool broadcast = list.size() == 1;
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

// Per-sequence lengths of a packed batch from a cumulative list; trailing zeros are sequences without part.
// `plain` (training only): a list that sums to `tokens` while its last entry does not reach it holds plain lengths.
template <class Int>
std::vector<Int> PackedLengths(const char* op, const char* argument, const std::vector<Int>& list, const Int& tokens,
                               bool* plain) {
  if (list.empty()) Fail(op, argument, "is empty", "[]", "cumulative lengths");
  std::size_t used = list.size();
  while (used > 0 && KnownEq(list[used - 1], Int(0))) --used;
  Int sum(0);
  for (std::size_t i = 0; i < used; ++i) {
    if (KnownLt(list[i], Int(0))) Fail(op, argument, "has a negative entry", list[i], "cumulative lengths");
    sum = sum + list[i];
  }
  const bool is_plain = plain != nullptr && used > 0 && KnownNe(list[used - 1], tokens) && KnownEq(sum, tokens);
  if (is_plain) {
    *plain = true;
    return list;
  }
  std::vector<Int> lengths;
  Int before(0);
  for (std::size_t i = 0; i < used; ++i) {
    if (KnownLt(list[i], before)) {
      Fail(op, argument, "decreases", list, "cumulative lengths (2, 5, 9 for sequences of 2, 3, 4 tokens)");
    }
    lengths.push_back(list[i] - before);
    before = list[i];
  }
  if (KnownLt(tokens, before)) Fail(op, argument, "goes beyond the packed tokens", before, "at most T = " + Show(tokens));
  lengths.resize(list.size(), Int(0));
  return lengths;
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
  const bool training = call.kind == OpKind::kFusion;
  if (call.q_lens) {
    spec->q_lens = PackedLengths(op, call.names.q_lens, *call.q_lens, spec->q_tokens,
                                 training ? &spec->plain_q_lens : nullptr);
  }
  if (!call.kv_lens) return;
  if (spec->cache == CacheLayout::kNone) {
    spec->kv_lens = PackedLengths(op, call.names.kv_lens, *call.kv_lens, spec->kv_tokens,
                                  training ? &spec->plain_kv_lens : nullptr);
  } else {
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
  if (KnownEq(count, Int(0)) || (!spec.IsPackedBatch() && KnownNe(count, Int(1)) && KnownLt(count, spec.batch))) {
    Fail(call.op, argument, "has the wrong number of entries", count,
         spec.IsPackedBatch() ? "one per sequence" : "1 or at least the batch size " + Show(spec.batch));
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
      spec->q_lens = BatchLengths(call.op, call.names.q_lens, *call.q_lens, spec->batch, spec->q_tokens);
    }
    if (call.kv_lens) {
      spec->kv_lens = BatchLengths(call.op, call.names.kv_lens, *call.kv_lens, spec->batch, spec->kv_tokens);
    }
    spec->left_padded_q = call.query_padding_size.defined && (spec->q_lens_on_device || !spec->q_lens.empty());
    spec->left_padded_kv = call.kv_padding_size.defined && (spec->kv_lens_on_device || !spec->kv_lens.empty());
  }
  if (spec->cache != CacheLayout::kNone && KnownNe(call.block_table.Size(0), spec->batch)) {
    Fail(call.op, "block_table", "has another batch size than query", call.block_table.sizes, "(" + Show(spec->batch) + ", max blocks)");
  }
}

}  // namespace npufa
