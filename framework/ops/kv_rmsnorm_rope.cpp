// npu_kv_rmsnorm_rope_cache and its versions; the second one alone, which does not return what it writes, has kernels.
#include "kv_rmsnorm_rope.h"

#include <torch/library.h>

namespace npufa {

namespace {

using c10::SymInt;
using torch::jit::Stack;

void KvRmsnormRopeMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("kv", {});
  RequireNoLatentTypes(a);
  const LatentRows rows = MakeLatentRows(a, ReadKvRmsnormRope<SymInt>(a).returns_rows);
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(rows.rope);
  stack->emplace_back(rows.norm);
}

// Calls the version with kernels on `caches`; the results come after them.
void CallWork(const c10::OperatorHandle& op, Stack* stack, const at::Tensor& k_cache, const at::Tensor& ckv_cache) {
  static const auto work = c10::Dispatcher::singleton().findSchemaOrThrow("npufa::npu_kv_rmsnorm_rope_cache_v2", "");
  const Arguments a(op, *stack);
  Stack call;
  for (const c10::Argument& argument : work.schema().arguments()) {
    const char* name = argument.name().c_str();
    if (argument.name() == "k_cache") {
      call.emplace_back(k_cache);
    } else if (argument.name() == "ckv_cache") {
      call.emplace_back(ckv_cache);
    } else {
      call.push_back(a.Has(name) ? a.At(name) : c10::IValue());
    }
  }
  work.callBoxed(call);
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(k_cache);
  stack->emplace_back(ckv_cache);
  for (c10::IValue& result : call) stack->push_back(std::move(result));
}

void KvRmsnormRopeReturning(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("kv", {});
  ReadKvRmsnormRope<SymInt>(a);
  CallWork(op, stack, a.Tensor("k_cache"), a.Tensor("ckv_cache"));
}

void KvRmsnormRopeFunctional(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("kv", {});
  RequireNoLatentTypes(a);
  ReadKvRmsnormRope<SymInt>(a);
  CallWork(op, stack, a.Tensor("k_cache").clone(), a.Tensor("ckv_cache").clone());
}

}  // namespace

LatentRows MakeLatentRows(const Arguments& a, bool wanted) {
  const at::Tensor kv = a.Tensor("kv");
  if (!wanted) return {kv.new_empty({0}), kv.new_empty({0})};
  std::vector<SymInt> rope = kv.sym_sizes().vec(), norm = rope;
  rope.back() = a.Tensor("k_cache").sym_size(3);
  norm.back() = a.Tensor("ckv_cache").sym_size(3);
  return {kv.new_empty_symint(rope), kv.new_empty_symint(norm)};
}

void RequireNoLatentTypes(const Arguments& a) {
  for (const char* name : {"k_cache_dtype", "ckv_cache_dtype"}) {
    if (a.Has(name) && !a.At(name).isNone()) {
      Fail(a.Op(), name, "is not supported", a.Integer(name), "None: the dtype of the cache");
    }
  }
}

TORCH_LIBRARY_IMPL(npufa, Meta, m) {
  m.impl("npu_kv_rmsnorm_rope_cache_v2", torch::CppFunction::makeFromBoxedFunction<&KvRmsnormRopeMeta>());
}

TORCH_LIBRARY_IMPL(npufa, CompositeImplicitAutograd, m) {
  m.impl("npu_kv_rmsnorm_rope_cache", torch::CppFunction::makeFromBoxedFunction<&KvRmsnormRopeReturning>());
  m.impl("npu_kv_rmsnorm_rope_cache_v2_functional",
         torch::CppFunction::makeFromBoxedFunction<&KvRmsnormRopeFunctional>());
}

}  // namespace npufa
