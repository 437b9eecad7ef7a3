// Arguments of npu_advance_step_flashattn (SPEC section 9) and their checks.
#pragma once

#include "quantisation.h"

namespace npufa {

template <class Int>
struct AdvanceStepCall {
  const char* op = "npu_advance_step_flashattn";
  TensorDesc<Int> input_tokens, sampled_token_ids, input_positions, seq_lens, slot_mapping, block_tables;
  TensorDesc<Int> spec_token, accepted_num;
  std::int64_t num_seqs = 0, num_queries = 0, block_size = 0;
};

// Reader: framework's Arguments, or NamedReader of a context of CANN.
template <class Int, class Reader>
AdvanceStepCall<Int> ReadAdvanceStep(const Reader& a) {
  AdvanceStepCall<Int> c;
  c.input_tokens = a.template Desc<Int>("input_tokens");
  c.sampled_token_ids = a.template Desc<Int>("sampled_token_ids");
  c.input_positions = a.template Desc<Int>("input_positions");
  c.seq_lens = a.template Desc<Int>("seq_lens");
  c.slot_mapping = a.template Desc<Int>("slot_mapping");
  c.block_tables = a.template Desc<Int>("block_tables");
  c.spec_token = a.template Desc<Int>("spec_token");
  c.accepted_num = a.template Desc<Int>("accepted_num");
  c.num_seqs = a.Integer("num_seqs");
  c.num_queries = a.Integer("num_queries");
  c.block_size = a.Integer("block_size");
  return c;
}

template <class Int>
void CheckAdvanceStep(const AdvanceStepCall<Int>& c) {
  const char* op = c.op;
  for (const auto& [name, value] : {std::pair{"num_seqs", c.num_seqs}, std::pair{"num_queries", c.num_queries},
                                    std::pair{"block_size", c.block_size}}) {
    if (value <= 0) Fail(op, name, "is not positive", value, "a positive integer");
  }
  if (c.num_seqs < c.num_queries) {
    Fail(op, "num_queries", "is larger than num_seqs", c.num_queries, "at most " + std::to_string(c.num_seqs));
  }
  if (c.spec_token.defined != c.accepted_num.defined) {
    Fail(op, c.spec_token ? "accepted_num" : "spec_token", "is missing", "None",
         "spec_token and accepted_num together");
  }
  auto check = [&](const char* name, const TensorDesc<Int>& t, const std::vector<Int>& sizes) {
    RequireDType(op, name, t, {DType::kInt64});
    if (!SameSizes(t, sizes)) Fail(op, name, "has the wrong shape", t.sizes, Show(sizes));
  };
  const Int seqs(c.num_seqs);
  Int width(1);
  if (c.spec_token) {
    if (c.num_seqs != c.num_queries) {
      Fail(op, "num_queries", "differs from num_seqs in a speculative step", c.num_queries, Show(c.num_seqs));
    }
    if (c.spec_token.Dim() != 2 || KnownLt(c.spec_token.Size(1), Int(1))) {
      Fail(op, "spec_token", "has the wrong shape", c.spec_token.sizes, "(num_seqs, tokens to verify)");
    }
    width = width + c.spec_token.Size(1);
    check("spec_token", c.spec_token, {seqs, c.spec_token.Size(1)});
    check("accepted_num", c.accepted_num, {seqs});
    check("sampled_token_ids", c.sampled_token_ids, {seqs, width});
  } else {
    const Int queries(c.num_queries);
    RequireDType(op, "sampled_token_ids", c.sampled_token_ids, {DType::kInt64});
    if (!SameSizes(c.sampled_token_ids, {queries, Int(1)}) && !SameSizes(c.sampled_token_ids, {queries})) {
      Fail(op, "sampled_token_ids", "has the wrong shape", c.sampled_token_ids.sizes,
           "(num_queries, 1) = (" + Show(c.num_queries) + ", 1)");
    }
  }
  const Int tokens = seqs * width;
  check("input_tokens", c.input_tokens, {tokens});
  check("input_positions", c.input_positions, {tokens});
  check("seq_lens", c.seq_lens, {tokens});
  check("slot_mapping", c.slot_mapping, {tokens});
  RequireDType(op, "block_tables", c.block_tables, {DType::kInt64});
  if (c.block_tables.Dim() != 2 || KnownLt(c.block_tables.Size(0), seqs)) {
    Fail(op, "block_tables", "has the wrong shape", c.block_tables.sizes, "(num_seqs, max blocks)");
  }
}

}  // namespace npufa
