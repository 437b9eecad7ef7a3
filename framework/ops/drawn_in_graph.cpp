#include "drawn_in_graph.h"

#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/library.h>

#include "attention_calls.h"
#include "describe.h"

namespace npufa {

namespace {

using c10::SymInt;
using torch::jit::Stack;

bool IsRecorded() {
#if NPUFA_TORCH_AT_LEAST(2)
  using c10::impl::TorchDispatchModeKey;
  using c10::impl::TorchDispatchModeTLS;
  return TorchDispatchModeTLS::get_mode(TorchDispatchModeKey::PROXY).has_value() ||
         TorchDispatchModeTLS::get_mode(TorchDispatchModeKey::FUNCTIONAL).has_value();
#else
  return false;  // no torch.compile there (docs/versions.md)
#endif
}

// v1 spells the band otherwise.
const char* SpellingIn(const Arguments& a, const std::string& name) {
  if (a.Has(name.c_str())) return name.c_str();
  return name == "pre_tokens" ? "pre_tockens" : name == "next_tokens" ? "next_tockens" : nullptr;
}

SymInt Number(const at::Tensor& drawn) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("npufa::_npu_dropout_number", "")
                             .typed<SymInt(const at::Tensor&)>();
  return op.call(drawn);
}

// Tensors on meta have no numbers.
SymInt ReadNumber(const at::Tensor& drawn) { return drawn.is_meta() ? 0 : drawn.item<std::int64_t>(); }

}  // namespace

bool IsDrawnInGraph(const c10::OperatorHandle& op, const Stack& stack) {
  if (!IsRecorded()) return false;
  const Arguments a(op, stack);
  if (!a.Has("seed") || a.Number("keep_prob") >= 1.0 || a.OptionalTensor("dropout_mask").defined()) return false;
  const auto is_zero = [&](const char* name) { return a.At(name).isInt() && a.At(name).toInt() == 0; };
  return is_zero("seed") && is_zero("offset");
}

void DrawInGraph(const c10::OperatorHandle& op, Stack* stack) {
  static const auto drawn = c10::Dispatcher::singleton().findSchemaOrThrow("npufa::_npu_fusion_attention_drawn", "");
  const Arguments a(op, *stack);
  const SymInt scores = CountScores(Describe(FusionCall<SymInt>(a)));  // its errors name the operator that was called
  Stack call;
  for (const c10::Argument& argument : drawn.schema().arguments()) {
    const char* name = SpellingIn(a, argument.name());
    call.push_back(name != nullptr ? a.At(name) : *argument.default_value());
  }
  drawn.callBoxed(call);
  torch::jit::drop(*stack, op.schema().arguments().size());
  for (std::size_t i = 0; i < 4; ++i) stack->push_back(call[i]);
  for (std::size_t i = 4; i < 6; ++i) stack->emplace_back(Number(call[i].toTensor()));
  stack->emplace_back(scores);
}

TORCH_LIBRARY_IMPL(npufa, CompositeExplicitAutograd, m) { m.impl("_npu_dropout_number", &ReadNumber); }

}  // namespace npufa
