// Arguments of the operators that merge partial attentions (SPEC section 9b), and their checks.
#pragma once

#include <string>
#include <vector>

#include "quantisation.h"

namespace npufa {

template <class Int>
void RequireFloating(const char* op, const std::string& name, const TensorDesc<Int>& t) {
  RequireDType(op, name, t, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
}

template <class Int>
void RequireLike(const char* op, const std::string& name, const TensorDesc<Int>& t, const std::string& other_name,
                 const TensorDesc<Int>& other) {
  if (t.dtype != other.dtype)
    Fail(op, name, "differs from " + other_name + " in dtype", NameOf(t.dtype), NameOf(other.dtype));
  if (!SameSizes(t, other.sizes))
    Fail(op, name, "differs from " + other_name + " in shape", t.sizes, Show(other.sizes));
}

template <class Int>
struct AttentionUpdateCall {
  const char* op;
  std::vector<TensorDesc<Int>> lse, outputs;
  bool returns_lse;
};

// Reader: framework's Arguments, or NamedReader of a context of CANN.
template <class Int, class Reader>
AttentionUpdateCall<Int> ReadAttentionUpdate(const Reader& a) {
  constexpr std::size_t kMostParts = 128;
  const char* op = a.Op();
  AttentionUpdateCall<Int> call{op, a.template Descs<Int>("lse"), a.template Descs<Int>("local_out"), false};
  const std::int64_t update_type = a.Integer("update_type");
  if (update_type != 0 && update_type != 1) {
    Fail(op, "update_type", "is unknown", update_type, "0 (the output), or 1 (the log-sum-exp, too)");
  }
  call.returns_lse = update_type == 1;
  if (call.lse.empty() || call.lse.size() > kMostParts) {
    Fail(op, "lse", "has the wrong number of tensors", call.lse.size(), "1 to " + std::to_string(kMostParts));
  }
  if (call.outputs.size() != call.lse.size()) {
    Fail(op, "local_out", "differs from lse in its number of tensors", call.outputs.size(),
         std::to_string(call.lse.size()));
  }
  const TensorDesc<Int>& first = call.outputs[0];
  RequireFloating(op, "local_out[0]", first);
  if (first.Dim() != 2)
    Fail(op, "local_out[0]", "has the wrong number of dimensions", first.sizes, "2: (rows, head size)");
  for (std::size_t i = 0; i < call.lse.size(); ++i) {
    const std::string at = "[" + std::to_string(i) + "]";
    RequireLike(op, "local_out" + at, call.outputs[i], "local_out[0]", first);
    RequireDType(op, "lse" + at, call.lse[i], {DType::kFloat32});
    if (!SameSizes(call.lse[i], {first.Size(0)})) {
      Fail(op, "lse" + at, "has the wrong shape", call.lse[i].sizes,
           Show(std::vector<Int>{first.Size(0)}) + ": the rows of local_out");
    }
  }
  return call;
}

// Rows are (sequence, head, token) in the statistics, tokens before heads in the outputs.
template <class Int>
struct RingUpdateCall {
  const char* op;
  Int sequences, heads, tokens;  // of one sequence; with lengths of all, whose ends they are
  Int columns;
  bool tokens_first = false;  // the statistics have the order of the outputs: (tokens, heads)
  bool packed = false;        // sequences are told apart by actual_seq_qlen
  TensorDesc<Int> output, lengths;
};

template <class Int>
void CheckRingStatistics(const char* op, const TensorDesc<Int>& statistic, const std::string& name,
                         const std::vector<Int>& sizes, const std::string& layout) {
  RequireDType(op, name, statistic, {DType::kFloat32});
  if (!SameSizes(statistic, sizes)) {
    Fail(op, name, "has the wrong shape", statistic.sizes, Show(sizes) + " for input_layout " + layout);
  }
}

template <class Int, class Reader>
RingUpdateCall<Int> ReadRingUpdate(const Reader& a) {
  const char* op = a.Op();
  const auto desc = [&](const char* name) { return a.template Desc<Int>(name); };
  const std::string layout = a.Text("input_layout"), softmax_layout = a.Text("input_softmax_layout");
  const TensorDesc<Int> output = desc("prev_attn_out"), maximum = desc("prev_softmax_max");
  RingUpdateCall<Int> call{op, Int(1), Int(1), Int(0), Int(0), false, false, output, desc("actual_seq_qlen")};
  if (layout != "SBH" && layout != "TND") Fail(op, "input_layout", "is unknown", layout, "\"SBH\" or \"TND\"");
  if (softmax_layout != "" && softmax_layout != "SBH" && softmax_layout != "TND") {
    Fail(op, "input_softmax_layout", "is unknown", softmax_layout, "\"\", \"SBH\" or \"TND\"");
  }
  RequireFloating(op, "prev_attn_out", output);
  if (output.Dim() != 3) {
    Fail(op, "prev_attn_out", "has the wrong number of dimensions", output.sizes, "3 for input_layout " + layout);
  }
  RequireLike(op, "cur_attn_out", desc("cur_attn_out"), "prev_attn_out", output);
  const Int width(8);  // of a statistic: every value eight times
  std::vector<Int> sizes;
  if (layout == "SBH") {
    const Int heads = maximum.Dim() == 4 ? maximum.Size(1) : Int(1);
    if (maximum.Dim() != 4 || KnownLt(heads, Int(1)) || KnownNe(Int(output.Size(2) % heads), Int(0))) {
      Fail(op, "prev_softmax_max", "has the wrong shape", maximum.sizes,
           "(B, N, S, 8) with N a divisor of " + Show(output.Size(2)) + " for input_layout SBH");
    }
    call.tokens = output.Size(0);
    call.sequences = output.Size(1);
    call.heads = heads;
    call.columns = output.Size(2) / heads;
    sizes = {output.Size(1), heads, output.Size(0), width};
  } else {
    call.tokens = output.Size(0);
    call.heads = output.Size(1);
    call.columns = output.Size(2);
    call.tokens_first = softmax_layout == "TND";
    call.packed = !call.tokens_first;
    sizes = {output.Size(0), output.Size(1), width};
    if (!call.lengths) Fail(op, "actual_seq_qlen", "is missing", "None", "cumulative lengths for input_layout TND");
    RequireDType(op, "actual_seq_qlen", call.lengths, {DType::kInt64});
    if (call.lengths.Dim() != 1) {
      Fail(op, "actual_seq_qlen", "has the wrong number of dimensions", call.lengths.sizes, "1");
    }
    if (call.packed) call.sequences = call.lengths.Size(0);
  }
  for (const char* name : {"prev_softmax_max", "prev_softmax_sum", "cur_softmax_max", "cur_softmax_sum"}) {
    CheckRingStatistics(op, desc(name), name, sizes, layout);
  }
  return call;
}

}  // namespace npufa
