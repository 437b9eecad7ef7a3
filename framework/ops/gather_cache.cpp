// npu_gather_pa_kv_cache: what does not depend on the device.
#include "gather_cache.h"

#include <torch/library.h>

#include "arguments.h"
#include "in_place.h"

namespace npufa {

namespace {

void GatherMeta(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("key_cache", {});
  ReadGather<c10::SymInt>(a);
  torch::jit::drop(*stack, op.schema().arguments().size());
}

// Key and value stay as they are; the results are copies with the tokens written.
std::tuple<at::Tensor, at::Tensor> GatherFunctional(const at::Tensor& key_cache, const at::Tensor& value_cache,
                                                    const at::Tensor& block_tables, const at::Tensor& seq_lens,
                                                    const at::Tensor& key, const at::Tensor& value,
                                                    const TorchOptional<at::Tensor>& seq_offset,
                                                    bool is_seq_lens_cumsum) {
  static const auto in_place =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("npufa::npu_gather_pa_kv_cache", "")
          .typed<void(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, at::Tensor,
                      at::Tensor, const TorchOptional<at::Tensor>&, bool)>();
  const at::Tensor new_key = CopyOf(key), new_value = CopyOf(value);
  in_place.call(key_cache, value_cache, block_tables, seq_lens, new_key, new_value, seq_offset, is_seq_lens_cumsum);
  return {new_key, new_value};
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, Meta, m) {
  m.impl("npu_gather_pa_kv_cache", torch::CppFunction::makeFromBoxedFunction<&GatherMeta>());
}

TORCH_LIBRARY_IMPL(npufa, CompositeImplicitAutograd, m) {
  m.impl("npu_gather_pa_kv_cache_functional", &GatherFunctional);
}

}  // namespace npufa
