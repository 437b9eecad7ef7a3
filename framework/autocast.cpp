// torch.autocast: floating inputs that must have the query's type are cast to the region's type, with gradients in
// their own. Scales, statistics, sinks, slopes, masks and quantised caches are left alone.
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "arguments.h"
#include "registration.h"

namespace npufa {

namespace {

using torch::jit::Stack;

constexpr const char* kOfQueryType[] = {
    "query", "key",       "value", "query_rope",  "key_rope", "key_shared_prefix", "value_shared_prefix",
    "pse",   "pse_shift", "dy",    "attention_in"};

bool IsAutocastType(at::ScalarType type) { return type == at::kFloat || type == at::kHalf || type == at::kBFloat16; }

// Slopes stay float32.
bool HasSlopes(const Arguments& a) { return a.Integer("pse_type", 1) >= 2; }

template <c10::DeviceType device>
void CastInputs(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  const at::ScalarType type = AutocastType(device);
  const auto first = stack->end() - static_cast<std::ptrdiff_t>(op.schema().arguments().size());
  // int8 queries take float16 biases.
  if (!IsAutocastType(a.Tensor("query").scalar_type())) return;
  for (const char* name : kOfQueryType) {
    if (!a.Has(name) || (std::string_view(name) == "pse" && HasSlopes(a))) continue;
    const at::Tensor t = a.OptionalTensor(name);
    if (!t.defined() || t.device().type() != device || !IsAutocastType(t.scalar_type())) continue;
    const auto index = *op.schema().argumentIndexWithName(name);
    *(first + index) = at::autocast::cached_cast(type, t, device);
  }
}

template <c10::DeviceType device>
void Autocast(const c10::OperatorHandle& op, Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(
      c10::DispatchKeySet(at::autocast::get_autocast_dispatch_key_from_device_type(device)));
  CastInputs<device>(op, stack);
  op.callBoxed(*stack);
}

template <c10::DeviceType device>
void RegisterAutocast(torch::Library& m) {
  Register<&Autocast<device>>(m, kFusionOperators);
  Register<&Autocast<device>>(m, kFusionGradOperators);
  Register<&Autocast<device>>(m, kPromptOperators);
  Register<&Autocast<device>>(m, kIncreOperators);
  Register<&Autocast<device>>(m, kFusedInferOperators);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, AutocastCPU, m) { RegisterAutocast<c10::kCPU>(m); }
TORCH_LIBRARY_IMPL(npufa, AutocastPrivateUse1, m) { RegisterAutocast<c10::kPrivateUse1>(m); }

}  // namespace npufa
