#include "results.h"

#include <ATen/EmptyTensor.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/ops/empty.h>

namespace npufa {

namespace {

std::string NameOfOut(std::size_t index, const char* name) {
  return "out[" + std::to_string(index) + "] (" + name + ")";
}

void RequireDeviceAndDense(const Arguments& a, const std::string& name, const at::Tensor& t) {
  const at::Device device = a.Tensor("query").device();
  if (t.device() != device) Fail(a.Op(), name, "is on another device than query", t.device().str(), device.str());
  if (!t.is_contiguous()) Fail(a.Op(), name, "is not contiguous", Desc<c10::SymInt>(t).sizes, "a contiguous tensor");
}

// `t` is written while the other tensors are read or written.
void RequireOwnMemory(const Arguments& a, const std::string& name, const at::Tensor& t) {
  if (!t.has_storage() || t.is_meta()) return;
  const auto check = [&](const std::string& other_name, const at::Tensor& other) {
    if (!other.defined() || other.is_same(t) || !other.has_storage()) return;
    const at::MemOverlapStatus status = at::get_overlap_status(t, other);
    if (status == at::MemOverlapStatus::Full || status == at::MemOverlapStatus::Partial) {
      Fail(a.Op(), name, "shares memory with " + other_name, "overlapping tensors", "memory of its own");
    }
  };
  for (const c10::Argument& argument : a.Schema().arguments()) {
    const c10::IValue& value = a.At(argument.name().c_str());
    if (value.isTensor()) check(argument.name(), value.toTensor());
  }
  const std::vector<at::Tensor> out = a.At("out").toTensorVector();
  for (std::size_t i = 0; i < out.size(); ++i) check("out[" + std::to_string(i) + "]", out[i]);
}

template <class Int>
void CheckOut(const Arguments& a, const std::vector<at::Tensor>& out, const std::vector<ResultShape<Int>>& shapes) {
  if (out.size() != shapes.size()) {
    Fail(a.Op(), "out", "has the wrong number of tensors", out.size(), std::to_string(shapes.size()));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const ResultShape<Int>& shape = shapes[i];
    if (!shape.computed) continue;
    const std::string name = NameOfOut(i, shape.name);
    const TensorDesc<Int> t = Desc<Int>(out[i]);
    RequireDeviceAndDense(a, name, out[i]);
    if (t.dtype != FromTorch(shape.dtype)) {
      Fail(a.Op(), name, "has the wrong dtype", NameOf(t.dtype), NameOf(FromTorch(shape.dtype)));
    }
    if (!SameSizes(t, shape.sizes)) Fail(a.Op(), name, "has the wrong shape", t.sizes, Show(shape.sizes));
    RequireOwnMemory(a, name, out[i]);
  }
  const at::Tensor workspace = a.OptionalTensor("workspace");
  if (!workspace.defined()) return;
  RequireDeviceAndDense(a, "workspace", workspace);
  RequireOwnMemory(a, "workspace", workspace);
}

at::Tensor Empty(const std::vector<std::int64_t>& sizes, const at::TensorOptions& options) {
  // Two calls through the dispatcher are a third of what a small tensor costs.
  if (options.device().is_cpu()) return at::detail::empty_cpu(sizes, options);
  return at::empty(sizes, options);
}
at::Tensor Empty(const std::vector<c10::SymInt>& sizes, const at::TensorOptions& options) {
  return at::empty_symint(sizes, options);
}

}  // namespace

template <class Int>
std::vector<at::Tensor> MakeResults(const Arguments& a, const std::vector<ResultShape<Int>>& shapes) {
  if (a.Has("out")) {
    std::vector<at::Tensor> out = a.At("out").toTensorVector();
    CheckOut(a, out, shapes);
    return out;
  }
  const at::TensorOptions options = a.Tensor("query").options();
  std::vector<at::Tensor> results;
  results.reserve(shapes.size());
  for (const ResultShape<Int>& shape : shapes) results.push_back(Empty(shape.sizes, options.dtype(shape.dtype)));
  return results;
}

void ReturnResults(const c10::OperatorHandle& op, torch::jit::Stack* stack, std::vector<at::Tensor> results) {
  torch::jit::drop(*stack, op.schema().arguments().size());
  for (at::Tensor& result : results) stack->emplace_back(std::move(result));
}

void ReturnWorkspace(const c10::OperatorHandle& op, torch::jit::Stack* stack, const at::Tensor& query,
                     std::uint64_t bytes) {
  at::Tensor workspace = at::empty({static_cast<std::int64_t>(bytes)}, query.options().dtype(at::kByte));
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(std::move(workspace));
}

template std::vector<at::Tensor> MakeResults(const Arguments&, const std::vector<ResultShape<std::int64_t>>&);
template std::vector<at::Tensor> MakeResults(const Arguments&, const std::vector<ResultShape<c10::SymInt>>&);

}  // namespace npufa
