// Quantisation of an attention call (SPEC section 7): which scales take part and how each is indexed.
#pragma once

#include <initializer_list>
#include <string>

#include "attention_call.h"

namespace npufa {

// What a scale of a quantised key/value cache varies over.
enum class ScaleAxis { kNone, kTensor, kChannel, kToken, kHead, kTokenHead, kTokenPaged, kTokenHeadPaged };

struct QuantSpec {
  bool int8_products = false;    // query, key and value are int8, and probabilities become so
  bool quantised_query = false;  // they are int8, with a scale per row of the query (quantised_query.h)
  bool int8_output = false;
  bool antiquant = false;  // key and value are stored in int8, int4 or float8
  bool combined = false;   // one tensor holds the key's scale, then the value's, in axis 0
  ScaleAxis key_scale = ScaleAxis::kNone;
  ScaleAxis value_scale = ScaleAxis::kNone;

  bool Int8Query() const { return int8_products || quantised_query; }
};

// Extents that scale tensors are compared with.
template <class Int>
struct ScaleExtents {
  Int batch, kv_heads, head_dim, value_dim, kv_tokens, num_blocks, block_size;
  bool paged;
};

template <class Int>
void RequireOneElement(const char* op, const char* argument, const TensorDesc<Int>& t) {
  if (KnownNe(t.Numel(), Int(1))) Fail(op, argument, "has the wrong shape", t.sizes, "one element (per tensor)");
}

template <class Int>
void RequireDType(const char* op, const std::string& argument, const TensorDesc<Int>& t,
                  std::initializer_list<DType> allowed) {
  std::string names;
  for (DType d : allowed) {
    if (t.dtype == d) return;
    names += std::string(names.empty() ? "" : " or ") + NameOf(d);
  }
  Fail(op, argument, "has the wrong dtype", NameOf(t.dtype), names);
}

template <class Int>
void CheckOutputScale(const AttentionCall<Int>& call, const Int& channels) {
  const auto& scale = call.quant_scale2;
  const auto& offset = call.quant_offset2;
  const std::string scale_name = call.names.quant_scale2, offset_name = call.names.quant_offset2;
  if (!scale) {
    if (offset) Fail(call.op, offset_name, "is given without " + scale_name, offset.sizes, "both or neither");
    return;
  }
  auto check_dtype = [&](const std::string& name, const TensorDesc<Int>& t) {
    if (call.query.dtype == DType::kBFloat16) {
      RequireDType(call.op, name, t, {DType::kFloat32, DType::kBFloat16});
    } else {
      RequireDType(call.op, name, t, {DType::kFloat32});
    }
  };
  check_dtype(scale_name, scale);
  if (KnownNe(scale.Numel(), Int(1)) && KnownNe(scale.Numel(), channels)) {
    Fail(call.op, scale_name, "has the wrong number of elements", scale.sizes,
         "1 element (per tensor) or N*D = " + Show(channels) + " (per channel)");
  }
  if (!offset) return;
  check_dtype(offset_name, offset);
  if (offset.dtype != scale.dtype) {
    Fail(call.op, offset_name, "differs from " + scale_name + " in dtype", NameOf(offset.dtype), NameOf(scale.dtype));
  }
  if (!SameSizes(offset, scale.sizes)) {
    Fail(call.op, offset_name, "differs from " + scale_name + " in shape", offset.sizes, Show(scale.sizes));
  }
}

template <class Int>
void CheckProductScales(const AttentionCall<Int>& call, bool int8_products) {
  struct Entry {
    const char* name;
    const TensorDesc<Int>& scale;
    bool packed;  // may be a uint64 carrying float32 bits
  };
  const Entry entries[] = {{call.names.dequant_scale1, call.dequant_scale1, true},
                           {call.names.quant_scale1, call.quant_scale1, false},
                           {call.names.dequant_scale2, call.dequant_scale2, true}};
  for (const Entry& e : entries) {
    if (!int8_products) {
      if (e.scale) {
        Fail(call.op, e.name, "is only for int8 query, key and value", std::string(NameOf(call.query.dtype)) + " query",
             "None (a quantised cache takes antiquant_scale or key_/value_antiquant_scale)");
      }
      continue;
    }
    if (!e.scale) Fail(call.op, e.name, "is missing", "None", "a scale, since query, key and value are int8");
    RequireOneElement(call.op, e.name, e.scale);
    if (e.packed) {
      RequireDType(call.op, e.name, e.scale, {DType::kFloat32, DType::kUInt64, DType::kInt64});
    } else {
      RequireDType(call.op, e.name, e.scale, {DType::kFloat32});
    }
  }
}

// Per channel of one of key and value: (Nkv,D) or (Nkv*D,) up to extents of 1.
template <class Int>
bool IsPerChannel(const std::vector<Int>& sizes, const Int& kv_heads, const Int& channels) {
  const std::vector<Int> got = Squeezed(sizes);
  const std::vector<Int> split = Squeezed(std::vector<Int>{kv_heads, channels});
  const std::vector<Int> flat = Squeezed(std::vector<Int>{kv_heads * channels});
  auto equal = [&](const std::vector<Int>& want) {
    if (got.size() != want.size()) return false;
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (KnownNe(got[i], want[i])) return false;
    }
    return true;
  };
  return equal(split) || equal(flat);
}

// The axis a combined antiquant tensor varies over, from its shape; per token only when the mode or the dtype says so:
// beside a float16 or bfloat16 query, scales per channel have the query's dtype.
template <class Int>
ScaleAxis CombinedAxis(const AttentionCall<Int>& call, const ScaleExtents<Int>& x) {
  const auto& t = call.antiquant_scale;
  const bool has_mode = call.kind == OpKind::kFusedInfer;
  const std::string expected =
      "(2,) per tensor, (2,Nkv,1,D), (2,Nkv,D) or (2,Nkv*D) per channel, (2,B,Skv) float32 per token";
  if (t.Dim() < 1 || KnownNe(t.Size(0), Int(2)))
    Fail(call.op, "antiquant_scale", "has the wrong shape", t.sizes, expected);
  const std::vector<Int> rest(t.sizes.begin() + 1, t.sizes.end());
  const bool token_shape = rest.size() == 2 && !KnownNe(rest[0], x.batch) && !KnownLt(rest[1], x.kv_tokens);
  const bool channel_shape = !rest.empty() && IsPerChannel(rest, x.kv_heads, x.head_dim);
  const bool maybe_token = token_shape && t.dtype == DType::kFloat32;
  if (!has_mode && maybe_token && channel_shape && call.query.dtype == DType::kFloat32) {
    Fail(call.op, "antiquant_scale", "has two readings, (2,Nkv,D) per channel and (2,B,Skv) per token", t.sizes,
         "(2,Nkv,1,D) per channel, or npu_fused_infer_attention_score with antiquant_mode=1 per token");
  }
  const bool per_token = has_mode ? call.antiquant_mode == 1 : maybe_token;
  if (per_token) {
    if (!token_shape) {
      Fail(call.op, "antiquant_scale", "does not fit antiquant_mode 1 (per token)", t.sizes,
           "(2," + Show(x.batch) + "," + Show(x.kv_tokens) + ")");
    }
    RequireDType(call.op, "antiquant_scale", t, {DType::kFloat32});
    return ScaleAxis::kToken;
  }
  RequireDType(call.op, "antiquant_scale", t, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  if (rest.empty()) return ScaleAxis::kTensor;
  if (!channel_shape) Fail(call.op, "antiquant_scale", "has the wrong shape", t.sizes, expected);
  if (KnownNe(x.head_dim, x.value_dim)) {
    Fail(call.op, "antiquant_scale", "per channel needs equal head sizes of key and value", Show(x.value_dim),
         Show(x.head_dim) + " (or pass key_antiquant_scale and value_antiquant_scale)");
  }
  return ScaleAxis::kChannel;
}

// The axis of a split scale of key or value in mode 0..5.
template <class Int>
ScaleAxis SplitAxis(const char* op, const char* argument, const TensorDesc<Int>& t, std::int64_t mode,
                    const Int& channels, const ScaleExtents<Int>& x) {
  const bool per_token = mode == 1 || mode >= 3;
  if (per_token) {
    RequireDType(op, argument, t, {DType::kFloat32});
  } else {
    RequireDType(op, argument, t, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  }
  auto fail = [&](const std::string& expected) {
    Fail(op, argument, "does not fit antiquant mode " + std::to_string(mode), t.sizes, expected);
  };
  auto matches = [&](std::vector<Int> want, int at_least_axis) {
    std::vector<Int> got = t.sizes;
    while (got.size() > want.size() && KnownEq(got.front(), Int(1))) got.erase(got.begin());
    if (got.size() != want.size()) return false;
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (static_cast<int>(i) == at_least_axis ? KnownLt(got[i], want[i]) : KnownNe(got[i], want[i])) return false;
    }
    return true;
  };
  switch (mode) {
    case 0:
      if (KnownEq(t.Numel(), Int(1))) return ScaleAxis::kTensor;
      if (!IsPerChannel(t.sizes, x.kv_heads, channels))
        fail("1 element (per tensor) or (Nkv,D), (Nkv*D,) (per channel)");
      return ScaleAxis::kChannel;
    case 1:
      if (!matches({x.batch, x.kv_tokens}, 1)) fail("(" + Show(x.batch) + "," + Show(x.kv_tokens) + ") (per token)");
      return ScaleAxis::kToken;
    case 2:
      if (!matches({x.kv_heads}, -1)) fail("(" + Show(x.kv_heads) + ",) (per tensor and head)");
      return ScaleAxis::kHead;
    case 3:
      if (!matches({x.batch, x.kv_heads, x.kv_tokens}, 2)) fail("(B,Nkv,Skv) (per token and head)");
      return ScaleAxis::kTokenHead;
    case 4:
      if (!x.paged) Fail(op, argument, "of mode 4 needs a paged cache", "no block_table", "a block_table");
      if (!matches({x.num_blocks, x.block_size}, -1)) fail("(num_blocks, block_size)");
      return ScaleAxis::kTokenPaged;
    default:
      if (!x.paged) Fail(op, argument, "of mode 5 needs a paged cache", "no block_table", "a block_table");
      if (!matches({x.num_blocks, x.kv_heads, x.block_size}, -1)) fail("(num_blocks, Nkv, block_size)");
      return ScaleAxis::kTokenHeadPaged;
  }
}

template <class Int>
void CheckOffset(const char* op, const char* argument, const TensorDesc<Int>& offset, const char* scale_argument,
                 const TensorDesc<Int>& scale) {
  if (!offset) return;
  if (!scale) Fail(op, argument, std::string("is given without ") + scale_argument, offset.sizes, "both or neither");
  if (offset.dtype != scale.dtype) {
    Fail(op, argument, std::string("differs from ") + scale_argument + " in dtype", NameOf(offset.dtype),
         NameOf(scale.dtype));
  }
  if (!SameSizes(offset, scale.sizes)) {
    Fail(op, argument, std::string("differs from ") + scale_argument + " in shape", offset.sizes, Show(scale.sizes));
  }
}

template <class Int>
void CheckAntiquantModes(const AttentionCall<Int>& call) {
  auto in_range = [&](const char* name, std::int64_t mode, std::int64_t most) {
    if (mode < 0 || mode > most) Fail(call.op, name, "is unknown", mode, "0.." + std::to_string(most));
  };
  in_range("antiquant_mode", call.antiquant_mode, 1);
  in_range(call.names.key_antiquant_mode, call.key_antiquant_mode, 5);
  in_range(call.names.value_antiquant_mode, call.value_antiquant_mode, 5);
  if (call.key_antiquant_mode != call.value_antiquant_mode &&
      !(call.key_antiquant_mode == 0 && call.value_antiquant_mode == 1)) {
    Fail(call.op, call.names.value_antiquant_mode, std::string("does not agree with ") + call.names.key_antiquant_mode,
         call.value_antiquant_mode, std::to_string(call.key_antiquant_mode) + " (only key 0 with value 1 may differ)");
  }
}

template <class Int>
void DescribeAntiquant(const AttentionCall<Int>& call, const ScaleExtents<Int>& x, QuantSpec* quant) {
  CheckAntiquantModes(call);
  const char* op = call.op;
  const ArgumentNames& n = call.names;
  const auto pair = [](const char* key, const char* value) { return std::string(key) + " and " + value + " together"; };
  const bool combined = call.antiquant_scale.defined;
  const bool split = call.key_antiquant_scale.defined || call.value_antiquant_scale.defined;
  if (!quant->antiquant) {
    const std::string got = std::string(NameOf(call.key.dtype)) + " key";
    const char* expected = "None, or a key and value cache in int8, int4 (int32) or float8";
    if (combined) Fail(op, "antiquant_scale", "is only for a quantised cache", got, expected);
    if (call.key_antiquant_scale) Fail(op, n.key_antiquant_scale, "is only for a quantised cache", got, expected);
    if (call.value_antiquant_scale) Fail(op, n.value_antiquant_scale, "is only for a quantised cache", got, expected);
  }
  if (combined && split) {
    Fail(op, "antiquant_scale", "is given beside key_/value_antiquant_scale", "both", "one of the two forms");
  }
  if (call.key_antiquant_scale.defined != call.value_antiquant_scale.defined) {
    Fail(op, call.key_antiquant_scale ? n.value_antiquant_scale : n.key_antiquant_scale, "is missing", "None",
         pair(n.key_antiquant_scale, n.value_antiquant_scale));
  }
  if (call.key_antiquant_offset.defined != call.value_antiquant_offset.defined) {
    Fail(op, call.key_antiquant_offset ? n.value_antiquant_offset : n.key_antiquant_offset, "is missing", "None",
         pair(n.key_antiquant_offset, n.value_antiquant_offset));
  }
  CheckOffset(op, "antiquant_offset", call.antiquant_offset, "antiquant_scale", call.antiquant_scale);
  CheckOffset(op, n.key_antiquant_offset, call.key_antiquant_offset, n.key_antiquant_scale, call.key_antiquant_scale);
  CheckOffset(op, n.value_antiquant_offset, call.value_antiquant_offset, n.value_antiquant_scale,
              call.value_antiquant_scale);
  if (!quant->antiquant) return;
  if (!combined && !split) {
    const bool can_combine = *n.antiquant_scale != '\0';
    Fail(op, can_combine ? n.antiquant_scale : n.key_antiquant_scale, "is missing", "None",
         std::string("a scale for the ") + NameOf(call.key.dtype) + " cache");
  }
  quant->combined = combined;
  if (combined) {
    quant->key_scale = quant->value_scale = CombinedAxis(call, x);
  } else {
    quant->key_scale =
        SplitAxis(op, n.key_antiquant_scale, call.key_antiquant_scale, call.key_antiquant_mode, x.head_dim, x);
    quant->value_scale =
        SplitAxis(op, n.value_antiquant_scale, call.value_antiquant_scale, call.value_antiquant_mode, x.value_dim, x);
  }
}

}  // namespace npufa
