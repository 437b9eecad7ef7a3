// Gradients of npu_fusion_attention (v1, v2, v3) through the grad operators, which have none of their own.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/library.h>

#include <algorithm>

#include "arguments.h"
#include "ops/drawn_in_graph.h"
#include "registration.h"

namespace npufa {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using torch::jit::Stack;

// Differentiable inputs, in the order of FusionFunction's tensors.
constexpr const char* kInputs[] = {"query", "key", "value", "pse", "sink", "query_rope", "key_rope"};
constexpr const char* kGradients[] = {"dq", "dk", "dv", "dpse", "dsink", "dq_rope", "dk_rope"};

// What one forward call leaves for its backward: the operator and every argument that is not a tensor.
struct ForwardCall {
  const c10::OperatorHandle* op;
  Stack* stack;
};

std::string GradOperator(const std::string& forward, bool masked) {
  if (masked || forward == "npufa::_npu_fusion_attention_drawn") return "npufa::_npu_fusion_attention_grad_masked";
  const std::string base = "npufa::npu_fusion_attention";
  return base + "_grad" + forward.substr(base.size());
}

// Position of each gradient among the outputs of a grad operator.
std::vector<const char*> GradOutputs(const std::string& op) {
  if (op == "npufa::npu_fusion_attention_grad" || op == "npufa::npu_fusion_attention_grad_v3") {
    return {"dq", "dk", "dv", "dpse", "dsink"};
  }
  return {"dq", "dk", "dv", "dpse", "dq_rope", "dk_rope", "dsink"};
}

class FusionFunction : public torch::autograd::Function<FusionFunction> {
 public:
  // Tensors are passed one by one so that autograd sees them; they equal those in the stack.
  static variable_list forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, const std::optional<at::Tensor>& pse,
                               const std::optional<at::Tensor>& sink, const std::optional<at::Tensor>& query_rope,
                               const std::optional<at::Tensor>& key_rope, ForwardCall call) {
    (void)query, (void)key, (void)value, (void)pse, (void)sink, (void)query_rope, (void)key_rope;
    const auto& arguments = call.op->schema().arguments();
    const std::vector<c10::IValue> inputs(call.stack->end() - static_cast<std::ptrdiff_t>(arguments.size()),
                                          call.stack->end());
    {
      at::AutoDispatchBelowADInplaceOrView guard;
      call.op->callBoxed(*call.stack);
    }
    const std::size_t count = call.op->schema().returns().size();
    const std::vector<c10::IValue> outputs(call.stack->end() - static_cast<std::ptrdiff_t>(count), call.stack->end());
    Save(ctx, *call.op, inputs, outputs);
    variable_list tensors;
    for (const c10::IValue& o : outputs) {
      if (o.isTensor()) tensors.push_back(o.toTensor());
    }
    ctx->mark_non_differentiable(variable_list(tensors.begin() + 1, tensors.end()));
    return tensors;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    // Saved inputs have the forward's types; a region around backward() must not change them.
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const std::string forward_name = ctx->saved_data["op"].toStringRef();
    const bool masked = ctx->saved_data.count("tensor:dropout_mask") > 0;
    const std::string name = GradOperator(forward_name, masked);
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name.c_str(), "");
    const variable_list saved = ctx->get_saved_variables();
    Stack stack;
    for (const c10::Argument& argument : op.schema().arguments()) {
      stack.push_back(argument.name() == "dy" ? c10::IValue(grads[0].contiguous())
                                              : GradArgument(ctx, saved, argument));
    }
    op.callBoxed(stack);
    const std::vector<const char*> names = GradOutputs(name);
    variable_list result(std::size(kInputs) + 1);
    for (std::size_t i = 0; i < std::size(kInputs); ++i) {
      if (ctx->saved_data.count(std::string("tensor:") + kInputs[i]) == 0) continue;
      for (std::size_t k = 0; k < names.size(); ++k) {
        if (std::string(names[k]) == kGradients[i]) result[i] = stack[stack.size() - names.size() + k].toTensor();
      }
    }
    return result;
  }

 private:
  // Tensors go through save_for_backward (name -> index in saved_data), everything else into saved_data itself.
  static void Save(AutogradContext* ctx, const c10::OperatorHandle& op, const std::vector<c10::IValue>& inputs,
                   const std::vector<c10::IValue>& outputs) {
    variable_list tensors;
    const auto save = [&](const std::string& name, const c10::IValue& value) {
      if (value.isTensor() && value.toTensor().defined()) {
        ctx->saved_data["tensor:" + name] = static_cast<std::int64_t>(tensors.size());
        tensors.push_back(value.toTensor());
      } else if (!value.isTensor() && !value.isNone()) {
        ctx->saved_data["value:" + name] = value;
      }
    };
    ctx->saved_data["op"] = op.schema().name();
    Stack copy = inputs;
    const Arguments a(op, copy);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::string& name = op.schema().arguments()[i].name();
      if (name == "seed" || name == "offset") continue;
      save(name, inputs[i]);
    }
    for (const char* name : {"scale", "pre_tockens", "next_tockens"}) {
      if (a.Has(name)) ctx->saved_data[std::string("value:") + GradSpelling(name)] = a.At(name);
    }
    save("attention_in", outputs[0]);
    save("softmax_max", outputs[1]);
    save("softmax_sum", outputs[2]);
    if (ctx->saved_data.count("tensor:dropout_mask") == 0) {
      save("seed", outputs[4]);
      save("offset", outputs[5]);
    }
    ctx->save_for_backward(std::move(tensors));
  }

  // The grad operators' name for what v1 and v3 spell otherwise; grad (v1, v3) itself keeps pre_tockens.
  static std::string GradSpelling(const std::string& name) {
    return name == "scale" ? "scale_value" : name == "pre_tockens" ? "pre_tokens" : "next_tokens";
  }

  static c10::IValue GradArgument(AutogradContext* ctx, const variable_list& saved, const c10::Argument& argument) {
    const std::string& name = argument.name();
    if (const auto tensor = ctx->saved_data.find("tensor:" + name); tensor != ctx->saved_data.end()) {
      return saved[tensor->second.toInt()];
    }
    if (const auto value = ctx->saved_data.find("value:" + name); value != ctx->saved_data.end()) return value->second;
    return argument.default_value() ? *argument.default_value() : c10::IValue();
  }
};

std::optional<at::Tensor> Optional(const at::Tensor& t) { return t.defined() ? std::optional(t) : std::nullopt; }

c10::ArrayRef<c10::IValue> ArgumentsOf(const c10::OperatorHandle& op, const Stack& stack) {
  return torch::jit::last(stack, op.schema().arguments().size());
}

bool RequiresGrad(const c10::OperatorHandle& op, const Stack& stack) {
  if (!at::GradMode::is_enabled()) return false;
  const auto arguments = ArgumentsOf(op, stack);
  return std::any_of(arguments.begin(), arguments.end(), [](const c10::IValue& value) {
    if (value.isTensorList()) {
      const variable_list tensors = value.toTensorVector();
      return std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& t) { return t.requires_grad(); });
    }
    return value.isTensor() && value.toTensor().defined() && value.toTensor().requires_grad();
  });
}

// Whether a backward pass may follow: any input requires a gradient or carries a tangent, which raises in apply.
bool IsDifferentiated(const c10::OperatorHandle& op, const Stack& stack) {
  const auto arguments = ArgumentsOf(op, stack);
  return RequiresGrad(op, stack) || std::any_of(arguments.begin(), arguments.end(), [](const c10::IValue& value) {
           return value.isTensor() && value.toTensor().defined() && value.toTensor()._fw_grad(0).defined();
         });
}

void CallBelowAutograd(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  at::AutoDispatchBelowADInplaceOrView guard;
  op.redispatchBoxed(keys & c10::after_ADInplaceOrView_keyset, stack);
}

void FusionAutograd(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  if (IsDrawnInGraph(op, *stack)) return DrawInGraph(op, stack);
  if (!IsDifferentiated(op, *stack)) return CallBelowAutograd(op, keys, stack);
  Stack call(stack->end() - static_cast<std::ptrdiff_t>(op.schema().arguments().size()), stack->end());
  const Arguments a(op, call);
  const at::Tensor query = a.Tensor("query"), key = a.Tensor("key"), value = a.Tensor("value");
  const auto pse = Optional(a.OptionalTensor("pse")), sink = Optional(a.OptionalTensor("sink")),
             query_rope = Optional(a.OptionalTensor("query_rope")), key_rope = Optional(a.OptionalTensor("key_rope"));
  const variable_list tensors =
      FusionFunction::apply(query, key, value, pse, sink, query_rope, key_rope, ForwardCall{&op, &call});
  torch::jit::drop(*stack, op.schema().arguments().size());
  std::size_t next = 0;
  for (const c10::IValue& output : call) {
    stack->push_back(output.isTensor() ? c10::IValue(tensors[next++]) : output);
  }
}

// The tensors of a call, those in lists too.
variable_list TensorsOf(const c10::OperatorHandle& op, const Stack& stack) {
  variable_list tensors;
  for (const c10::IValue& value : ArgumentsOf(op, stack)) {
    if (value.isTensor() && value.toTensor().defined()) tensors.push_back(value.toTensor());
    if (!value.isTensorList()) continue;
    for (const at::Tensor& t : value.toTensorVector()) tensors.push_back(t);
  }
  return tensors;
}

// Operators without a derivative: the call works, a backward pass through its result raises.
template <class Message>
void RaiseOnBackward(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack, const Message& message) {
  const bool tracked = RequiresGrad(op, *stack);
  const variable_list inputs = tracked ? TensorsOf(op, *stack) : variable_list();
  CallBelowAutograd(op, keys, stack);
  if (!tracked) return;
  const auto node = MakeNode<torch::autograd::Error>(message(), torch::autograd::collect_next_edges(inputs));
  for (std::size_t i = stack->size() - op.schema().returns().size(); i < stack->size(); ++i) {
    torch::autograd::set_history((*stack)[i].toTensor(), node);
  }
}

std::string ShortName(const c10::OperatorHandle& op) {
  const std::string& name = op.schema().name();
  return name.substr(name.rfind(':') + 1);
}

void GradAutograd(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  RaiseOnBackward(op, keys, stack, [&] {
    return "npufa::" + ShortName(op) +
           ": dy has no second derivative, got a backward pass through the gradient; "
           "expected create_graph=False";
  });
}

void InferenceAutograd(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  RaiseOnBackward(op, keys, stack, [&] {
    return "npufa::" + ShortName(op) +
           ": query has no derivative in an inference operator, got a backward pass; "
           "expected npu_fusion_attention for training";
  });
}

void UpdateAutograd(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  RaiseOnBackward(op, keys, stack, [&] {
    const bool ring = ShortName(op) == "npu_ring_attention_update";
    return "npufa::" + ShortName(op) + ": " + (ring ? "prev_attn_out" : "local_out") +
           " has no derivative, got a backward pass; expected npufa.merge." + (ring ? "merge_statistics" : "merge_lse");
  });
}

// Operators that write into tensors of the caller: out and the workspace have changed after the call.
void OutAutograd(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  if (torch::autograd::compute_requires_grad(TensorsOf(op, *stack))) {
    Fail(ShortName(op).c_str(), "out", "does not support automatic differentiation", "a tensor that requires grad",
         "torch.no_grad(), or the call without out");
  }
  const Arguments a(op, *stack);
  const c10::IValue& out = a.At("out");
  variable_list written = out.isTensor() ? variable_list{out.toTensor()} : out.toTensorVector();
  if (const at::Tensor workspace = a.OptionalTensor("workspace"); workspace.defined()) written.push_back(workspace);
  CallBelowAutograd(op, keys, stack);
  for (const at::Tensor& t : written) {
    if (!t.is_inference()) torch::autograd::impl::bump_version(t);
  }
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, Autograd, m) {
  Register<&FusionAutograd>(m, kFusionOperators);
  Register<&GradAutograd>(m, kFusionGradOperators);
  Register<&InferenceAutograd>(m, kPromptOperators);
  Register<&InferenceAutograd>(m, kIncreOperators);
  Register<&InferenceAutograd>(m, kFusedInferOperators);
  for (const char* name : {"npu_attention_update", "npu_ring_attention_update"}) {
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&UpdateAutograd>());
  }
  Register<&OutAutograd>(m, kFusionOut);
  Register<&OutAutograd>(m, kFusionGradOut);
  Register<&OutAutograd>(m, kFusedInferOut);
  Register<&OutAutograd>(m, kAtbOperators);
}

}  // namespace npufa
