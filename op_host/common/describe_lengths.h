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

template <class Int>
void DescribePackedLengths(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  if (call.lengths_on_device) {
    spec->batch = call.sequences;
    return;
  }
  if (!call.q_lens) Fail(op, call.names.q_lens, "is missing", "None", "cumulative lengths for input_layout " + call.input_layout);
  if (!call.kv_lens) Fail(op, call.names.kv_lens, "is missing", "None", "lengths for input_layout " + call.input_layout);
  bool* plain = call.kind == OpKind::kFusion ? &spec->plain_lengths : nullptr;
  spec->q_lens = PackedLengths(op, call.names.q_lens, *call.q_lens, spec->q_tokens, plain);
  const std::size_t sequences = spec->q_lens.size();
  if (call.kv_lens->size() != sequences) {
    Fail(op, call.names.kv_lens, "has another number of sequences than the query", call.kv_lens->size(),
         std::to_string(sequences));
  }
  spec->batch = Int(static_cast<std::int64_t>(sequences));
  if (spec->cache == CacheLayout::kNone) {
    spec->kv_lens = PackedLengths(op, call.names.kv_lens, *call.kv_lens, spec->kv_tokens, plain);
  } else {
    spec->kv_lens = BatchLengths(op, call.names.kv_lens, *call.kv_lens, spec->batch, spec->kv_tokens);
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
    spec->left_padded_q = call.query_padding_size.defined && !spec->q_lens.empty();
    spec->left_padded_kv = call.kv_padding_size.defined && !spec->kv_lens.empty();
  }
  if (spec->cache != CacheLayout::kNone && KnownNe(call.block_table.Size(0), spec->batch)) {
    Fail(call.op, "block_table", "has another batch size than query", call.block_table.sizes, "(" + Show(spec->batch) + ", max blocks)");
  }
}

}  // namespace npufa
