// npu_kv_rmsnorm_rope_cache on NPU tensors.
#include "ops/kv_rmsnorm_rope.h"

#include <torch/library.h>

#include "npu/aclnn_call.h"
#include "ops/in_place.h"

namespace npufa::npu {

namespace {

void KvRmsnormRope(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("kv", {});
  RequireNoLatentTypes(a);
  const auto call = ReadKvRmsnormRope<std::int64_t>(a);
  const auto dense = [&](const char* name) {
    const at::Tensor t = a.OptionalTensor(name);
    return t.defined() ? t.contiguous() : t;
  };
  InPlace caches;
  const CacheMemory keys = caches.Cache(a.Tensor("k_cache")), values = caches.Cache(a.Tensor("ckv_cache"));
  LatentRows rows = MakeLatentRows(a, true);
  if (call.tokens > 0) {
    CallAclnn(a.Op(), "aclnnNpufaKvRmsnormRopeCache", keys.tensor.device(), dense("kv"), dense("gamma"), dense("cos"),
              dense("sin"), dense("index"), keys.tensor, values.tensor, dense("k_rope_scale"), dense("c_kv_scale"),
              dense("k_rope_offset"), dense("c_kv_offset"), dense("v"), call.epsilon, a.Text("cache_mode"),
              call.returns_rows, keys.block_step, values.block_step, rows.rope, rows.norm);
  }
  caches.Finish();
  if (!call.returns_rows) rows = MakeLatentRows(a, false);
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(rows.rope);
  stack->emplace_back(rows.norm);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  m.impl("npu_kv_rmsnorm_rope_cache_v2", torch::CppFunction::makeFromBoxedFunction<&KvRmsnormRope>());
}

}  // namespace npufa::npu
