// Writing tokens into paged caches: what does not depend on the device.
#include <torch/library.h>

#include "arguments.h"
#include "compressed_scatter.h"
#include "in_place.h"
#include "registration.h"
#include "scatter_cache.h"

namespace npufa {

namespace {

void ScatterMeta(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("key", {});
  if (ScatterCompressed(op, stack)) return;
  ReadScatter<c10::SymInt>(a);
  torch::jit::drop(*stack, op.schema().arguments().size());
}

void ScatterReturning(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  static const auto work = c10::Dispatcher::singleton().findSchemaOrThrow("npufa::_npu_scatter_pa_cache", "");
  const Arguments a(op, *stack);
  a.RequireOneDevice("key", {});
  const at::Tensor cache = a.Tensor("key_cache");
  work.callBoxed(stack);
  stack->emplace_back(cache);
}

// The caches stay as they are; the results are copies with the tokens written.
std::tuple<at::Tensor, at::Tensor> ScatterFunctional(const at::Tensor& key, const at::Tensor& value,
                                                     const at::Tensor& key_cache, const at::Tensor& value_cache,
                                                     const at::Tensor& slot_mapping,
                                                     const TorchOptional<at::Tensor>& compress_lens,
                                                     const TorchOptional<at::Tensor>& compress_seq_offsets,
                                                     const TorchOptional<at::Tensor>& seq_lens,
                                                     TorchOptional<c10::string_view> cache_mode) {
  static const auto in_place =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("npufa::npu_scatter_pa_kv_cache", "")
          .typed<void(const at::Tensor&, const at::Tensor&, at::Tensor, at::Tensor, const at::Tensor&,
                      const TorchOptional<at::Tensor>&, const TorchOptional<at::Tensor>&,
                      const TorchOptional<at::Tensor>&, TorchOptional<c10::string_view>)>();
  const at::Tensor new_keys = CopyOf(key_cache), new_values = CopyOf(value_cache);
  in_place.call(key, value, new_keys, new_values, slot_mapping, compress_lens, compress_seq_offsets, seq_lens,
                cache_mode);
  return {new_keys, new_values};
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, Meta, m) { Register<&ScatterMeta>(m, kScatterOperators); }

TORCH_LIBRARY_IMPL(npufa, CompositeImplicitAutograd, m) {
  m.impl("npu_scatter_pa_cache.value", torch::CppFunction::makeFromBoxedFunction<&ScatterReturning>());
  m.impl("npu_scatter_pa_kv_cache_functional", &ScatterFunctional);
}

}  // namespace npufa
