// Writing tokens into paged caches on NPU tensors.
#include <torch/library.h>

#include "arguments.h"
#include "npu/aclnn_call.h"
#include "npu/conversions.h"
#include "ops/compressed_scatter.h"
#include "ops/in_place.h"
#include "registration.h"
#include "scatter_cache.h"

namespace npufa::npu {

namespace {

void Scatter(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("key", {});
  if (ScatterCompressed(op, stack)) return;
  const ScatterCall<std::int64_t> call = ReadScatter<std::int64_t>(a);
  const at::Tensor slots = a.Tensor(call.slots_name);
  const at::Device device = slots.device();
  InPlace caches;
  std::vector<at::Tensor> rows;
  std::vector<CacheMemory> memory;
  for (const ScatterSide<std::int64_t>& side : call.sides) {
    rows.push_back(AsIntegers(a.Tensor(side.rows_name)).contiguous());
    memory.push_back(caches.Cache(AsIntegers(a.Tensor(side.cache_name))));
  }
  const auto mode = [&](std::size_t side) {
    return std::string(call.sides[side].rows.form == CacheForm::kNz ? "PA_NZ" : "Norm");
  };
  if (call.tokens == 0) {
    // Nothing to launch.
  } else if (rows.size() == 2 && rows[0].scalar_type() == rows[1].scalar_type() && mode(0) == mode(1)) {
    CallAclnn(a.Op(), "aclnnNpufaScatterPaKvCache", device, rows[0], rows[1], memory[0].tensor, memory[1].tensor, slots,
              mode(0), memory[0].block_step, memory[1].block_step);
  } else {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CallAclnn(a.Op(), "aclnnNpufaScatterPaCache", device, rows[i], memory[i].tensor, slots, mode(i),
                memory[i].block_step);
    }
  }
  caches.Finish();
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) { Register<&Scatter>(m, kScatterOperators); }

}  // namespace npufa::npu
