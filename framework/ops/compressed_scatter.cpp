#include "compressed_scatter.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/where.h>

#include "arguments.h"
#include "scatter_cache.h"

namespace npufa {

namespace {

using c10::SymInt;

constexpr const char* kNumbers[] = {"slot_mapping", "compress_lens", "seq_lens", "compress_seq_offsets"};

void Check(const Arguments& a, const char* op) {
  const TensorDesc<SymInt> key = a.Desc<SymInt>("key"), slots = a.Desc<SymInt>("slot_mapping");
  const SymInt &batch = key.sizes[0], &heads = key.sizes[2];
  if (a.Has("cache_mode") && a.Text("cache_mode") == "PA_NZ") {
    Fail(op, "cache_mode", "does not go with keys of four dimensions", "PA_NZ", "\"Norm\" or None");
  }
  if (a.Has("value")) {
    const TensorDesc<SymInt> value = a.Desc<SymInt>("value");
    bool fits = value.Dim() == 4;
    for (std::int64_t axis = 0; fits && axis < 3; ++axis) fits = !KnownNe(value.Size(axis), key.Size(axis));
    if (!fits) Fail(op, "value", "differs from key in its tokens or heads", value.sizes, Show(key.sizes));
  }
  for (const char* name : kNumbers) {
    const TensorDesc<SymInt> t = a.Desc<SymInt>(name);
    const bool optional = name == kNumbers[3], of_heads = name != kNumbers[2];
    if (!t && optional) continue;
    if (!t) Fail(op, name, "is missing", "None", "a tensor beside keys of four dimensions");
    RequireDType(op, name, t, {DType::kInt32, DType::kInt64});
    const std::vector<SymInt> sizes = of_heads ? std::vector<SymInt>{batch, heads} : std::vector<SymInt>{batch};
    if (SameSizes(t, sizes) || (of_heads && name != kNumbers[0] && SameSizes(t, {batch * heads}))) continue;
    Fail(op, name, "has the wrong shape", t.sizes, Show(sizes) + (of_heads ? ": a number for each head" : ""));
  }
  if (!a.Desc<SymInt>("compress_seq_offsets")) return;
  for (const char* name : {"key", "value"}) {  // a mean is taken
    if (a.Has(name)) {
      RequireDType(op, name, a.Desc<SymInt>(name), {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
    }
  }
}

// What goes where, each (B, N, S), and (B, N) of the means.
struct Plan {
  at::Tensor slots;
  at::Tensor window;  // tokens whose mean is stored instead of them; undefined: none
  at::Tensor mean_slots;
};

// Without offsets the last compress_lens tokens of a sequence are stored; with them all, but those of
// [offset, offset + compress_lens) as their mean. Consecutive slots from slot_mapping on; a negative one stores nothing.
Plan MakePlan(const Arguments& a) {
  const at::Tensor starts = a.Tensor("slot_mapping").to(at::kLong).unsqueeze(2);
  const auto each = [&](const char* name) {
    return a.Tensor(name).to(at::kLong).reshape_symint(a.Tensor("slot_mapping").sym_sizes()).unsqueeze(2);
  };
  const at::Tensor lengths = each("compress_lens"), ends = a.Tensor("seq_lens").to(at::kLong).unsqueeze(1).unsqueeze(2);
  const at::Tensor position = at::arange(c10::Scalar(a.Tensor("key").sym_size(1)), starts.options());
  const auto kept = [&](const at::Tensor& slots, const at::Tensor& where) {
    return at::where(where & (starts >= 0), slots, at::full_like(slots, -1));
  };
  const at::Tensor inside = position < ends;
  if (!a.OptionalTensor("compress_seq_offsets").defined()) {
    const at::Tensor first = ends - lengths;
    return {kept(starts + position - first, inside & (position >= first)), {}, {}};
  }
  const at::Tensor offsets = each("compress_seq_offsets");
  const at::Tensor compressed = (offsets >= 0) & (lengths > 0);
  const at::Tensor window = inside & compressed & (position >= offsets) & (position < offsets + lengths);
  const at::Tensor moved = compressed & (position >= offsets);  // closes up behind the one that stands for the window
  const at::Tensor slots = starts + position - moved.to(at::kLong) * (lengths - 1);
  return {kept(slots, inside & ~window), window, kept(starts + offsets, window.any(2, true)).squeeze(2)};
}

// (tokens, 1, D) in the order of the plan.
at::Tensor RowsOf(const at::Tensor& given, const Plan& plan) {
  const at::Tensor tokens = given.permute({0, 2, 1, 3});
  if (given.element_size() == 1) {  // an NPU copies no float8
    return tokens.view(at::kChar).flatten(0, 2).unsqueeze(1).view(given.scalar_type());
  }
  const at::Tensor rows = tokens.flatten(0, 2).unsqueeze(1);
  if (!plan.window.defined()) return rows;
  const at::Tensor window = plan.window.unsqueeze(3), values = tokens.to(at::kFloat);
  const at::Tensor sums = at::where(window, values, at::full_like(values, 0)).sum(2);
  const at::Tensor means = sums / window.sum(2).clamp_min(1);
  return at::cat({rows, means.to(given.scalar_type()).flatten(0, 1).unsqueeze(1)});
}

}  // namespace

bool ScatterCompressed(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  if (!a.Has("compress_lens") || a.Tensor("key").dim() != 4) return false;
  Check(a, ScatterName(a));
  const Plan plan = MakePlan(a);
  at::Tensor slots = plan.slots.flatten();
  if (plan.window.defined()) slots = at::cat({slots, plan.mean_slots.flatten()});
  torch::jit::Stack call;
  for (const c10::Argument& argument : op.schema().arguments()) {
    const std::string& name = argument.name();
    if (name == "key" || name == "value") {
      call.emplace_back(RowsOf(a.Tensor(name.c_str()), plan));
    } else if (name == "slot_mapping") {
      call.emplace_back(slots);
    } else if (name == "cache_mode") {
      call.emplace_back(std::string("Norm"));
    } else {
      call.push_back(argument.type()->kind() == c10::TypeKind::OptionalType ? c10::IValue() : a.At(name.c_str()));
    }
  }
  op.callBoxed(call);
  torch::jit::drop(*stack, op.schema().arguments().size());
  return true;
}

}  // namespace npufa
