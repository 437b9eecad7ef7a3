// Named access to the arguments of a boxed operator call, for plain and for symbolic integers.
//
// The operators have up to forty arguments in several spellings; kernels read them by schema name, so that the schema
// (schemas.cpp) is the only place that lists them.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/SymInt.h>

#include <optional>
#include <string>
#include <vector>

#include "attention_call.h"
#include "name_index.h"
#include "torch_compat.h"

namespace npufa {

// A relation of symbols holds only if it can be decided without an assumption about unbacked symbols.
template <>
struct Known<c10::SymInt> {
  static bool Eq(const c10::SymInt& a, const c10::SymInt& b) { return TORCH_GUARD_OR_FALSE(a.sym_eq(b)); }
  static bool Ne(const c10::SymInt& a, const c10::SymInt& b) { return TORCH_GUARD_OR_FALSE(a.sym_ne(b)); }
  static bool Lt(const c10::SymInt& a, const c10::SymInt& b) { return TORCH_GUARD_OR_FALSE(a.sym_lt(b)); }
};

DType FromTorch(at::ScalarType type);
at::ScalarType ToTorch(DType type);

class Arguments {
 public:
  Arguments(const c10::OperatorHandle& op, const torch::jit::Stack& stack);
  // Arguments of a schema that is no operator's, in a call that messages name `op`; all must outlive this.
  Arguments(const c10::FunctionSchema& schema, const torch::jit::Stack& stack, const char* op);

  const char* Op() const { return op_; }
  bool Has(const char* name) const { return Find(name) >= 0; }
  const c10::IValue& At(const char* name) const;
  const c10::FunctionSchema& Schema() const { return schema_; }

  // References into the stack, for as long as the arguments are there.
  const at::Tensor& Tensor(const char* name) const { return At(name).toTensor(); }
  // Undefined when None, or when the operator has no such argument.
  const at::Tensor& OptionalTensor(const char* name) const;
  std::vector<at::Tensor> Tensors(const char* name) const { return At(name).toTensorVector(); }
  std::int64_t Integer(const char* name, std::int64_t missing = 0) const;
  double Number(const char* name, double missing = 1.0) const;
  std::string Text(const char* name) const;  // empty when None
  bool Flag(const char* name) const;         // false when the operator has no such argument
  // Undefined for an absent tensor.
  template <class Int>
  TensorDesc<Int> Desc(const char* name) const;
  template <class Int>
  std::vector<TensorDesc<Int>> Descs(const char* name) const;
  template <class Int>
  OptionalList<Int> List(const char* name) const;

  // Raises unless every tensor, those in lists too, lies on the device of `reference`; `host` arguments may lie on the
  // CPU.
  void RequireOneDevice(const char* reference, std::initializer_list<const char*> host) const;

  // Its device, or that of the first tensor of a list.
  at::Device DeviceOf(const char* name) const;

 private:
  static const NameIndex& IndexOf(const c10::FunctionSchema& schema);
  int Find(const char* name) const { return index_.Find(name); }

  const NameIndex& index_;
  const c10::FunctionSchema& schema_;
  const torch::jit::Stack& stack_;
  const char* op_;     // within the schema's name
  std::size_t first_;  // of the call's arguments in the stack
};

template <class Int>
TensorDesc<Int> Desc(const at::Tensor& t) {
  TensorDesc<Int> d;
  if (!t.defined()) return d;
  d.defined = true;
  d.dtype = FromTorch(t.scalar_type());
  if constexpr (std::is_same_v<Int, c10::SymInt>) {
    d.sizes = t.sym_sizes().vec();
  } else {
    d.sizes = t.sizes().vec();
  }
  return d;
}

template <class Int>
TensorDesc<Int> Arguments::Desc(const char* name) const {
  return npufa::Desc<Int>(OptionalTensor(name));
}

template <class Int>
std::vector<TensorDesc<Int>> Arguments::Descs(const char* name) const {
  std::vector<TensorDesc<Int>> descs;
  for (const at::Tensor& t : Tensors(name)) descs.push_back(npufa::Desc<Int>(t));
  return descs;
}

}  // namespace npufa
