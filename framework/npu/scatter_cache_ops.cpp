// Writing tokens into paged caches on NPU tensors.
#include <torch/library.h>

#include "arguments.h"
#include "in_place.h"
#include "npu/aclnn_call.h"
#include "npu/conversions.h"
#include "registration.h"
#include "scatter_cache.h"

namespace npufa::npu {

namespace {

void Scatter(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("key", {});
  const ScatterCall<std::int64_t> call = ReadScatter<std::int64_t>(a);
  const at::Tensor slots = a.Tensor(call.slots_name);
  const at::Device device = slots.device();
  InPlace caches;
  std::vector<at::Tensor> rows, dense;
  for (const ScatterSide<std::int64_t>& side : call.sides) {
    rows.push_back(AsIntegers(a.Tensor(side.rows_name)).contiguous());
    dense.push_back(caches.Dense(AsIntegers(a.Tensor(side.cache_name))));
  }
  const auto mode = [&](std::size_t side) {
    return std::string(call.sides[side].rows.form == CacheForm::kNz ? "PA_NZ" : "Norm");
  };
  if (call.tokens == 0) {
    // Nothing to launch.
  } else if (rows.size() == 2 && rows[0].scalar_type() == rows[1].scalar_type() && mode(0) == mode(1)) {
    CallAclnn(a.Op(), "aclnnNpufaScatterPaKvCache", device, rows[0], rows[1], dense[0], dense[1], slots, mode(0));
  } else {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CallAclnn(a.Op(), "aclnnNpufaScatterPaCache", device, rows[i], dense[i], slots, mode(i));
    }
  }
  caches.Finish();
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, PrivateUse1, m) { Register<&Scatter>(m, kScatterOperators); }

}  // namespace npufa::npu
