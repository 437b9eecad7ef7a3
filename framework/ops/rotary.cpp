// The rotary operators: each is checked under its own name and is one or two calls of _npu_rotary, which alone has
// kernels and a derivative.
#include "rotary.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "arguments.h"

namespace npufa {

namespace {

using c10::SymInt;
using torch::jit::Stack;

at::Tensor Rotary(const at::Tensor& input, const at::Tensor& r1, const at::Tensor& r2, const std::string& mode,
                  bool transposed) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("npufa::_npu_rotary", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, c10::string_view, bool)>();
  return op.call(input, r1, r2, mode, transposed);
}

void RotaryMeta(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input", {});
  ReadRotaryMul<SymInt>(a);
  const at::Tensor result = at::empty_like(a.Tensor("input"), at::MemoryFormat::Contiguous);
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(result);
}

// By a matrix of the caller; rounded once.
at::Tensor TurnBy(const at::Tensor& matrix, const at::Tensor& input, const at::Tensor& r1, const at::Tensor& r2) {
  const at::Tensor x = input.to(at::kFloat);
  const at::Tensor turned = at::matmul(x, matrix.to(at::kFloat));
  return (x * r1.to(at::kFloat) + turned * r2.to(at::kFloat)).to(input.scalar_type());
}

void RotaryMul(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input", {});
  ReadRotaryMul<SymInt>(a);
  const at::Tensor &input = a.Tensor("input"), &r1 = a.Tensor("r1"), &r2 = a.Tensor("r2");
  const at::Tensor& matrix = a.OptionalTensor("rotate");
  const at::Tensor result =
      matrix.defined() ? TurnBy(matrix, input, r1, r2) : Rotary(input, r1, r2, a.Text("rotary_mode"), false);
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(result);
}

void InterleaveRope(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("x", {});
  ReadInterleaveRope<SymInt>(a);
  const at::Tensor result = Rotary(a.Tensor("x"), a.Tensor("cos"), a.Tensor("sin"), "deinterleave", false);
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(result);
}

void ApplyRotary(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("query", {});
  CheckApplyRotary<SymInt>(a);
  const auto rotate = [&](const char* name) {
    return Rotary(a.Tensor(name), a.Tensor("cos"), a.Tensor("sin"), a.Text("rotary_mode"), false);
  };
  const at::Tensor query = rotate("query"), key = rotate("key");
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(query);
  stack->emplace_back(key);
}

// What cosines or sines get of `factor`, the derivative by them at every element.
at::Tensor AngleGradient(const at::Tensor& grad, const at::Tensor& factor, const at::Tensor& angles) {
  at::Tensor product = grad.to(at::kFloat) * factor.to(at::kFloat);
  std::vector<std::int64_t> broadcast;
  for (std::int64_t axis = 0; axis < angles.dim() - 1; ++axis) {
    if (TORCH_GUARD_OR_FALSE(angles.sym_size(axis).sym_ne(product.sym_size(axis)))) broadcast.push_back(axis);
  }
  if (!broadcast.empty()) product = at::sum(product, broadcast, true);
  return product.to(angles.scalar_type());
}

struct RotaryGradients {
  at::Tensor input, r1, r2;
};

RotaryGradients Differentiate(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& r1,
                              const at::Tensor& r2, const std::string& mode, bool by_input, bool by_angles) {
  RotaryGradients result;
  if (by_input) result.input = Rotary(grad, r1, r2, mode, true);
  if (!by_angles) return result;
  result.r1 = AngleGradient(grad, input, r1);
  // The elements that each one turns with, signed.
  result.r2 = AngleGradient(grad, Rotary(input, at::zeros_like(r1), at::ones_like(r2), mode, false), r2);
  return result;
}

void RotaryMulBackward(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("input", {});
  const RotaryCall<SymInt> call = ReadRotaryMul<SymInt>(a);
  const TensorDesc<SymInt> desc = a.Desc<SymInt>("grad");
  if (desc.dtype != call.input.dtype)
    Fail(a.Op(), "grad", "differs from input in dtype", NameOf(desc.dtype), NameOf(call.input.dtype));
  if (!SameSizes(desc, call.input.sizes))
    Fail(a.Op(), "grad", "differs from input in shape", desc.sizes, Show(call.input.sizes));
  RotaryGradients result = Differentiate(a.Tensor("grad"), a.Tensor("input"), a.Tensor("r1"), a.Tensor("r2"),
                                         a.Text("rotary_mode"), true, true);
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(std::move(result.input));
  stack->emplace_back(std::move(result.r1));
  stack->emplace_back(std::move(result.r2));
}

class RotaryFunction : public torch::autograd::Function<RotaryFunction> {
 public:
  using Context = torch::autograd::AutogradContext;

  static at::Tensor forward(Context* context, const at::Tensor& input, const at::Tensor& r1, const at::Tensor& r2,
                            const std::string& mode, bool transposed) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({input, r1, r2});
    context->saved_data["mode"] = mode;
    context->saved_data["transposed"] = transposed;
    return Rotary(input, r1, r2, mode, transposed);
  }

  static torch::autograd::variable_list backward(Context* context, torch::autograd::variable_list grads) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const std::string mode = context->saved_data["mode"].toStringRef();
    const bool transposed = context->saved_data["transposed"].toBool();
    if (transposed || mode == "deinterleave") {
      Fail(transposed ? "npu_rotary_mul_backward" : "npu_interleave_rope", transposed ? "grad" : "x",
           "has no derivative here", "a backward pass", "one pass through npu_rotary_mul");
    }
    const bool by_angles = context->needs_input_grad(1) || context->needs_input_grad(2);
    RotaryGradients result =
        Differentiate(grads[0], saved[0], saved[1], saved[2], mode, context->needs_input_grad(0), by_angles);
    return {result.input, result.r1, result.r2, at::Tensor(), at::Tensor()};
  }
};

at::Tensor RotaryAutograd(const at::Tensor& input, const at::Tensor& r1, const at::Tensor& r2, c10::string_view mode,
                          bool transposed) {
  return RotaryFunction::apply(input, r1, r2, std::string(mode), transposed);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, Meta, m) { m.impl("_npu_rotary", torch::CppFunction::makeFromBoxedFunction<&RotaryMeta>()); }

TORCH_LIBRARY_IMPL(npufa, Autograd, m) { m.impl("_npu_rotary", &RotaryAutograd); }

TORCH_LIBRARY_IMPL(npufa, CompositeImplicitAutograd, m) {
  m.impl("npu_rotary_mul", torch::CppFunction::makeFromBoxedFunction<&RotaryMul>());
  m.impl("npu_rotary_mul_backward", torch::CppFunction::makeFromBoxedFunction<&RotaryMulBackward>());
  m.impl("npu_interleave_rope", torch::CppFunction::makeFromBoxedFunction<&InterleaveRope>());
  m.impl("npu_apply_rotary_pos_emb", torch::CppFunction::makeFromBoxedFunction<&ApplyRotary>());
}

}  // namespace npufa
