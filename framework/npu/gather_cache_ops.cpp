// npu_gather_pa_kv_cache on NPU tensors.
#include "gather_cache.h"

#include <torch/library.h>

#include "arguments.h"
#include "npu/aclnn_call.h"
#include "npu/conversions.h"
#include "ops/in_place.h"

namespace npufa::npu {

namespace {

void Gather(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("key_cache", {});
  const GatherCall<std::int64_t> call = ReadGather<std::int64_t>(a);
  const auto index = [&](const char* name) {
    const at::Tensor t = a.OptionalTensor(name);
    const bool same = call.seq_lens.dtype == call.block_tables.dtype &&
                      (!call.seq_offset || call.seq_offset.dtype == call.block_tables.dtype);
    return !t.defined() || same ? t : t.to(at::kLong);
  };
  const auto rows = [&](const char* name) { return AsIntegers(a.Tensor(name)); };
  InPlace results;
  const at::Tensor key = results.Dense(rows("key")), value = results.Dense(rows("value"));
  if (call.tokens > 0 && call.sequences > 0) {
    const CacheMemory keys = MemoryOf(rows("key_cache")), values = MemoryOf(rows("value_cache"));
    CallAclnn(a.Op(), "aclnnNpufaGatherPaKvCache", key.device(), keys.tensor.contiguous(), values.tensor.contiguous(),
              index("block_tables"), index("seq_lens"), key, value, index("seq_offset"), call.cumulative,
              keys.block_step, values.block_step);
  }
  results.Finish();
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) {
  m.impl("npu_gather_pa_kv_cache", torch::CppFunction::makeFromBoxedFunction<&Gather>());
}

}  // namespace npufa::npu
