#include "atb_calls.h"

#include <ATen/ops/cumsum.h>

#include <algorithm>
#include <cstring>

#include "mask_window.h"
#include "quantisation.h"
#include "results.h"

namespace npufa {

namespace {

using c10::IValue;
using c10::SymInt;

// fused_infer's schema with what only atb's operators can ask for.
const c10::FunctionSchema& CallSchema() {
  static const c10::FunctionSchema schema = [] {
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("npufa::npu_fused_infer_attention_score", "out");
    std::vector<c10::Argument> arguments = op.schema().arguments();
    const auto add = [&](const char* name, const c10::TypePtr& type, const IValue& missing) {
      arguments.push_back(c10::Argument(name, type, {}, missing));
    };
    add("cumulative_lengths", c10::BoolType::get(), false);
    add("pse_layout", c10::IntType::get(), std::int64_t{kPsePerHead});
    add("value_head_size", c10::IntType::get(), std::int64_t{0});
    return op.schema().cloneWithArguments(std::move(arguments));
  }();
  return schema;
}

torch::jit::Stack Defaults() {
  torch::jit::Stack values;
  for (const c10::Argument& argument : CallSchema().arguments()) {
    values.push_back(argument.default_value().value_or(IValue()));
  }
  return values;
}

// Which of atb's names an argument of fused_infer has: the first that the operator knows.
struct Spelling {
  const char* name;
  std::vector<const char*> callers;
};
const std::vector<Spelling> kSpellings = {
    {"key", {"key_cache"}},
    {"value", {"mla_vheadsize", "value_cache"}},
    {"block_size", {"key_cache"}},
    {"actual_seq_lengths", {"seq_len"}},
    {"actual_seq_lengths_kv", {"context_lens", "seq_len"}},
    {"pse_shift", {"mask"}},
    {"scale", {"scale_value"}},
    {"num_key_value_heads", {"num_kv_heads"}},
    {"out[0] (attention_out)", {"out"}},
};

enum class MaskUse {
  kNone,
  kBias,          // added to the scores of a sequence
  kBiasOfTokens,  // added to the scores of the packed tokens
  kCausal,        // the lower triangle in short: the rule is followed, the values are not read
  kAlibi,         // causal, with a bias that falls with the distance to the last token that a row sees
  kAlibiOfRoot,   // or with its root
};

struct MaskRule {
  const char* op;
  std::int64_t mask_type;  // -1: the operator has no such argument
  MaskUse use;
};
constexpr MaskRule kMaskRules[] = {
    {"_npu_flash_attention", -1, MaskUse::kBias},
    {"_npu_flash_attention_v2", 0, MaskUse::kNone},
    {"_npu_flash_attention_v2", 1, MaskUse::kBias},
    {"_npu_flash_attention_v2", 2, MaskUse::kBias},
    {"_npu_flash_attention_v2", 3, MaskUse::kCausal},
    {"_npu_flash_attention_v2", 4, MaskUse::kAlibi},
    {"_npu_flash_attention_v2", 5, MaskUse::kAlibiOfRoot},
    {"_npu_flash_attention_v2", 6, MaskUse::kAlibi},  // counted from the first key: a constant less in each row
    {"_npu_flash_attention_v3", 3, MaskUse::kCausal},
    {"_npu_flash_attention_qlens", -1, MaskUse::kCausal},
    {"_npu_flash_attention_prefix_v2", 3, MaskUse::kCausal},
    {"_npu_flash_attention_prefix_v2", 4, MaskUse::kAlibi},
    {"_npu_flash_attention_prefix_v2", 5, MaskUse::kAlibiOfRoot},
    {"_npu_paged_attention_v2", 0, MaskUse::kNone},
    {"_npu_paged_attention_v2_get_workspace", 0, MaskUse::kNone},
    {"_npu_paged_attention_v2", 2, MaskUse::kBias},
    {"_npu_paged_attention_v2_get_workspace", 2, MaskUse::kBias},
    {"_npu_paged_attention_splitfuse", -1, MaskUse::kBiasOfTokens},
    {"_npu_paged_attention_splitfuse_v2", 5, MaskUse::kCausal},
};

std::int64_t MaskType(const Arguments& own) {
  if (!own.Has("mask_type")) return -1;
  if (!own.At("mask_type").isNone()) return own.Integer("mask_type");
  const auto index = own.Schema().argumentIndexWithName("mask_type");
  return own.Schema().arguments()[static_cast<std::size_t>(*index)].default_value()->toInt();
}

MaskUse UseOfMask(const Arguments& own) {
  if (!own.Has("mask")) return MaskUse::kNone;
  const std::int64_t type = MaskType(own);
  std::string types;
  for (const MaskRule& rule : kMaskRules) {
    if (std::strcmp(rule.op, own.Op()) != 0) continue;
    if (rule.mask_type == type) return rule.use;
    types += (types.empty() ? "" : " or ") + std::to_string(rule.mask_type);
  }
  Fail(own.Op(), "mask_type", "is not supported", type, types);
}

std::vector<SymInt> SizesOf(const at::Tensor& t) { return t.sym_sizes().vec(); }

void RequireShortTriangle(const Arguments& own, const at::Tensor& mask) {
  if (!mask.defined()) return;
  RequireDType(own.Op(), "mask", own.Desc<SymInt>("mask"),
               {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kBool, DType::kInt8, DType::kUInt8});
  const bool square = mask.dim() >= 2 && mask.dim() <= 3 && KnownEq(mask.sym_size(-1), mask.sym_size(-2));
  constexpr std::int64_t kFractal = 16;  // (1, n / 16, n, 16) on some chips
  const bool fractal = mask.dim() == 4 && KnownEq(mask.sym_size(3), SymInt(kFractal)) &&
                       KnownEq(mask.sym_size(1) * SymInt(kFractal), mask.sym_size(2));
  if (square || fractal) return;
  Fail(own.Op(), "mask", "is not a compressed mask", SizesOf(mask),
       "a lower triangle in short, (128, 128) or another square, whose values are not read");
}

// The factor of the distance for each head. atb multiplies slopes with the mask, whose step from one key to the next
// is its unit and its sign.
at::Tensor SlopesOf(const Arguments& own, std::int64_t heads, const at::Tensor& mask) {
  constexpr std::int64_t kSide = 256;
  const at::Tensor& slopes = own.OptionalTensor("slopes");
  if (!slopes.defined()) Fail(own.Op(), "slopes", "is missing", "None", "a slope for each head");
  RequireDType(own.Op(), "slopes", Desc<SymInt>(slopes), {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  if (slopes.dim() != 1 || KnownNe(slopes.sym_size(0), SymInt(heads))) {
    Fail(own.Op(), "slopes", "has the wrong shape", SizesOf(slopes),
         "[" + std::to_string(heads) + "]: one for each head");
  }
  if (!mask.defined()) Fail(own.Op(), "mask", "is missing", "None", "the compressed bias, (256, 256)");
  if (mask.dim() != 2 || KnownNe(mask.sym_size(0), SymInt(kSide)) || KnownNe(mask.sym_size(1), SymInt(kSide))) {
    Fail(own.Op(), "mask", "is not a compressed bias", SizesOf(mask), "(256, 256)");
  }
  RequireDType(own.Op(), "mask", Desc<SymInt>(mask), {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  const at::Tensor row = mask.select(0, 1).to(at::kFloat);
  return slopes.to(at::kFloat) * (row.select(0, 1) - row.select(0, 0));
}

// (T, heads, D); atb takes (T, heads * D), too.
at::Tensor Rows(const Arguments& own, const char* name, std::int64_t heads) {
  const at::Tensor& t = own.Tensor(name);
  if (t.dim() == 3 || heads <= 0) return t;
  if (t.dim() != 2) {
    Fail(own.Op(), name, "has the wrong number of dimensions", SizesOf(t),
         "(tokens, heads, head size), or the last two in one");
  }
  const SymInt width = t.sym_size(1);
  if (KnownNe(width % SymInt(heads), SymInt(0))) {
    Fail(own.Op(), name, "has a last axis that the heads do not divide", SizesOf(t),
         "a multiple of " + std::to_string(heads));
  }
  if (!t.is_contiguous()) return t.unflatten(1, {heads, -1});
  return t.view_symint({t.sym_size(0), SymInt(heads), width / SymInt(heads)});
}

void RequireFloats(const Arguments& own, const char* key) {
  const TensorDesc<SymInt> query = own.Desc<SymInt>("query"), keys = own.Desc<SymInt>(key);
  RequireDType(own.Op(), "query", query, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  if (keys.dtype != query.dtype) {
    Fail(own.Op(), key, "differs from query in dtype", NameOf(keys.dtype),
         std::string(NameOf(query.dtype)) + " (npu_fused_infer_attention_score takes quantised caches)");
  }
}

// A choice of precision there; here there is one.
void RequireKnownKernelType(const Arguments& own) {
  if (!own.Has("kernel_type") || own.At("kernel_type").isNone()) return;
  const std::int64_t type = own.Integer("kernel_type");
  if (type < 0 || type > 2) Fail(own.Op(), "kernel_type", "is unknown", type, "0..2");
}

void RequireLengths(const Arguments& own, const char* name, const at::Tensor& lengths) {
  const TensorDesc<SymInt> desc = Desc<SymInt>(lengths);
  RequireDType(own.Op(), name, desc, {DType::kInt32, DType::kInt64});
  if (desc.Dim() != 1) {
    Fail(own.Op(), name, "has the wrong number of dimensions", desc.sizes, "a length per sequence");
  }
}

void RequireSum(const Arguments& own, const SymInt& length, const SymInt& sum, const SymInt& tokens) {
  if (KnownLt(length, SymInt(0))) Fail(own.Op(), "seq_len", "has a negative entry", length, "tokens of a sequence");
  if (!KnownLt(tokens, sum)) return;
  Fail(own.Op(), "seq_len", "has a sum beyond the packed tokens", sum, "at most " + Show(tokens));
}

// Lengths of sequences as their running sum, where they lie.
IValue RunningSum(const Arguments& own, const SymInt& tokens) {
  const IValue& value = own.At("seq_len");
  SymInt sum(0);
  if (!value.isTensor()) {
    std::vector<SymInt> list = *own.List<SymInt>("seq_len");
    for (SymInt& length : list) {
      sum = sum + length;
      RequireSum(own, length, sum, tokens);
      length = sum;
    }
    return IValue(c10::SymIntArrayRef(list));
  }
  const at::Tensor& lengths = value.toTensor();
  RequireLengths(own, "seq_len", lengths);
  if (lengths.is_meta()) return lengths;
  const at::Tensor sums = at::cumsum(lengths, 0, at::kLong);
  if (!lengths.is_cpu()) return sums;
  const auto* ends = sums.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < sums.numel(); ++i) {
    RequireSum(own, SymInt(ends[i] - (i ? ends[i - 1] : 0)), SymInt(ends[i]), tokens);
  }
  return sums;
}

}  // namespace

AtbCall::AtbCall(const c10::OperatorHandle& op, const torch::jit::Stack& stack)
    : own_(op, stack), stack_(Defaults()), call_(CallSchema(), stack_, own_.Op()) {
  RequireKnownKernelType(own_);
  const std::int64_t heads = own_.Integer("num_heads");
  const at::Tensor query = Rows(own_, "query", heads), out = Rows(own_, "out", heads);
  const bool one_token = !own_.Has("seq_len");  // in each sequence
  Set("input_layout", one_token ? "BSND" : "TND");
  Set("query", one_token ? query.unsqueeze(1) : query);
  Set("out", std::vector<at::Tensor>{one_token ? out.unsqueeze(1) : out, at::Tensor()});
  Set("num_heads", heads);
  Set("num_key_value_heads", own_.At("num_kv_heads"));
  Set("scale", own_.At("scale_value"));
  if (own_.Has("workspace")) Set("workspace", own_.At("workspace"));
  SetCache();
  SetLengths();
  SetMask();
}

void AtbCall::SetCache() {
  if (!own_.Has("block_table")) {
    const std::int64_t stated = own_.Integer("num_kv_heads");
    const std::int64_t kv_heads = stated > 0 ? stated : own_.Integer("num_heads");
    RequireFloats(own_, "key");
    Set("key", Rows(own_, "key", kv_heads));
    Set("value", Rows(own_, "value", kv_heads));
    return;
  }
  RequireFloats(own_, "key_cache");
  const at::Tensor& key = own_.Tensor("key_cache");
  if (key.dim() != 3 && key.dim() != 4) {
    Fail(own_.Op(), "key_cache", "is not a paged cache", SizesOf(key),
         "(num_blocks, block_size, heads, head size), or the last two in one");
  }
  Set("key", key);
  if (own_.Has("value_cache") && !own_.OptionalTensor("value_cache").defined()) {
    Fail(own_.Op(), "value_cache", "is missing", "None", "a cache beside key_cache");
  }
  Set("value", own_.Has("value_cache") ? own_.At("value_cache") : IValue(key));
  Set("block_table", own_.At("block_table"));
  Set("block_size", key.sym_size(1));
  if (!own_.Has("mla_vheadsize")) return;
  const std::int64_t size = own_.Integer("mla_vheadsize");
  if (size <= 0) Fail(own_.Op(), "mla_vheadsize", "is not positive", size, "the leading channels that are the value");
  Set("value_head_size", size);
}

void AtbCall::SetLengths() {
  const SymInt tokens = own_.Tensor("query").sym_size(0);
  if (own_.Has("seq_len")) {
    Set("cumulative_lengths", true);
    const IValue sums = RunningSum(own_, tokens);
    Set("actual_seq_lengths", sums);
    Set("actual_seq_lengths_kv", sums);
  }
  if (!own_.Has("context_lens")) return;
  const IValue& lengths = own_.At("context_lens");
  SymInt count;
  if (lengths.isTensor()) {
    RequireLengths(own_, "context_lens", lengths.toTensor());
    count = lengths.toTensor().sym_size(0);
  } else {
    count = SymInt(static_cast<std::int64_t>(own_.List<SymInt>("context_lens")->size()));
  }
  if (!own_.Has("seq_len") && KnownNe(count, tokens)) {
    Fail(own_.Op(), "context_lens", "has the wrong number of entries", count, Show(tokens) + ", one per query token");
  }
  Set("actual_seq_lengths_kv", lengths);
}

void AtbCall::SetMask() {
  const MaskUse use = UseOfMask(own_);
  const at::Tensor& mask = own_.OptionalTensor("mask");
  if (use == MaskUse::kAlibi || use == MaskUse::kAlibiOfRoot) {
    Set("pse_shift", SlopesOf(own_, own_.Integer("num_heads"), mask));
    Set("pse_layout", std::int64_t{use == MaskUse::kAlibi ? kPseSlopes : kPseSlopesOfRoot});
    return Set("sparse_mode", std::int64_t{kRightDownCausal});
  }
  if (own_.OptionalTensor("slopes").defined()) {
    Fail(own_.Op(), "slopes", "do not go with mask_type " + std::to_string(MaskType(own_)), "a tensor",
         "None, or mask_type 4 or 5");
  }
  if (use == MaskUse::kCausal) {
    RequireShortTriangle(own_, mask);
    return Set("sparse_mode", std::int64_t{kRightDownCausal});
  }
  if (use == MaskUse::kNone) {
    if (!mask.defined()) return;
    Fail(own_.Op(), "mask", "does not go with mask_type 0", "a tensor", "None, or the type of the mask");
  }
  if (!mask.defined()) Fail(own_.Op(), "mask", "is missing", "None", "what is added to the scores");
  const bool of_tokens = use == MaskUse::kBiasOfTokens;
  if (mask.dim() < 2 || mask.dim() > (of_tokens ? 2 : 4)) {
    Fail(own_.Op(), "mask", "has the wrong number of dimensions", SizesOf(mask),
         of_tokens ? "(tokens of the query, longest context)" : "2 to 4, the last two for rows and columns");
  }
  const bool per_head = !own_.Has("seq_len");  // three dimensions are (heads, 1, keys), else (batch, rows, keys)
  at::Tensor four = mask;
  if (four.dim() == 3) four = four.unsqueeze(per_head ? 0 : 1);
  if (four.dim() == 2) four = four.unsqueeze(0).unsqueeze(0);
  Set("pse_shift", four);
  Set("pse_layout", std::int64_t{of_tokens ? kPseOfTokens : kPseOfKeys});
}

void AtbCall::Set(const char* name, IValue value) {
  const auto index = CallSchema().argumentIndexWithName(name);
  TORCH_INTERNAL_ASSERT(index.has_value(), "npufa: no argument ", name);
  stack_[static_cast<std::size_t>(*index)] = std::move(value);
}

std::string AtbCall::CallersName(const Arguments& own, const std::string& name) {
  for (const Spelling& spelling : kSpellings) {
    if (name != spelling.name) continue;
    for (const char* callers : spelling.callers) {
      if (own.Has(callers)) return callers;
    }
  }
  return name;
}

void AtbCall::Return(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const at::Tensor out = Arguments(op, *stack).Tensor("out");
  ReturnResults(op, stack, op.schema().returns().empty() ? std::vector<at::Tensor>{} : std::vector<at::Tensor>{out});
}

}  // namespace npufa
