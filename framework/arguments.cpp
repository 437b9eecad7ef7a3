#include "arguments.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace npufa {

DType FromTorch(at::ScalarType type) {
  switch (type) {
    case at::kDouble: return DType::kFloat64;
    case at::kFloat: return DType::kFloat32;
    case at::kHalf: return DType::kFloat16;
    case at::kBFloat16: return DType::kBFloat16;
    case at::kChar: return DType::kInt8;
    case at::kByte: return DType::kUInt8;
    case at::kBool: return DType::kBool;
    case at::kShort: return DType::kInt16;
    case at::kInt: return DType::kInt32;
    case at::kLong: return DType::kInt64;
#if NPUFA_TORCH_AT_LEAST(3)
    case at::kUInt16: return DType::kUInt16;
    case at::kUInt32: return DType::kUInt32;
    case at::kUInt64: return DType::kUInt64;
#endif
    case at::kFloat8_e4m3fn: return DType::kFloat8E4M3;
    case at::kFloat8_e5m2: return DType::kFloat8E5M2;
    default: return DType::kOther;
  }
}

at::ScalarType ToTorch(DType type) {
  switch (type) {
    case DType::kFloat32: return at::kFloat;
    case DType::kFloat16: return at::kHalf;
    case DType::kBFloat16: return at::kBFloat16;
    case DType::kInt8: return at::kChar;
    default: TORCH_INTERNAL_ASSERT(false, "npufa: no output has dtype ", NameOf(type));
  }
}

Arguments::Arguments(const c10::OperatorHandle& op, const torch::jit::Stack& stack)
    : Arguments(op.schema(), stack, op.schema().name().c_str() + op.schema().name().rfind(':') + 1) {}

Arguments::Arguments(const c10::FunctionSchema& schema, const torch::jit::Stack& stack, const char* op)
    : index_(IndexOf(schema)), schema_(schema), stack_(stack), op_(op),
      first_(stack.size() - schema.arguments().size()) {}

const NameIndex& Arguments::IndexOf(const c10::FunctionSchema& schema) {
  static std::mutex mutex;
  static std::unordered_map<const c10::FunctionSchema*, NameIndex> indices;
  const std::lock_guard<std::mutex> lock(mutex);
  NameIndex& index = indices[&schema];
  if (index.Empty()) {
    for (const c10::Argument& argument : schema.arguments()) index.Add(argument.name());
  }
  return index;
}

const c10::IValue& Arguments::At(const char* name) const {
  const int index = Find(name);
  TORCH_INTERNAL_ASSERT(index >= 0, "npufa::", op_, " has no argument ", name);
  return stack_[first_ + index];
}

const at::Tensor& Arguments::OptionalTensor(const char* name) const {
  static const at::Tensor kUndefined;
  const int index = Find(name);
  if (index < 0) return kUndefined;
  const c10::IValue& value = stack_[first_ + index];
  return value.isTensor() ? value.toTensor() : kUndefined;
}

std::int64_t Arguments::Integer(const char* name, std::int64_t missing) const {
  const int index = Find(name);
  if (index < 0) return missing;
  const c10::IValue& value = stack_[first_ + index];
  return value.isSymInt() ? value.toSymInt().guard_int(__FILE__, __LINE__) : value.toInt();
}

double Arguments::Number(const char* name, double missing) const {
  const int index = Find(name);
  if (index < 0) return missing;
  const c10::IValue& value = stack_[first_ + index];
  return value.isSymFloat() ? value.toSymFloat().guard_float(__FILE__, __LINE__) : value.toDouble();
}

std::string Arguments::Text(const char* name) const {
  const c10::IValue& value = At(name);
  return value.isNone() ? std::string() : value.toStringRef();
}
bool Arguments::Flag(const char* name) const { return Has(name) && At(name).toBool(); }

namespace {

std::int64_t ToPlain(const c10::IValue& v) {
  return v.isSymInt() ? v.toSymInt().guard_int(__FILE__, __LINE__) : v.toInt();
}

}  // namespace

template <class Int>
OptionalList<Int> Arguments::List(const char* name) const {
  const int index = Find(name);
  if (index < 0 || stack_[first_ + index].isNone()) return std::nullopt;
  const c10::IValue& value = stack_[first_ + index];
  std::vector<Int> list;
  if (value.isIntList()) {
    for (const std::int64_t v : value.toIntVector()) list.emplace_back(v);
    return list;
  }
  for (const c10::IValue& v : value.toListRef()) {
    if constexpr (std::is_same_v<Int, c10::SymInt>) {
      list.push_back(v.toSymInt());
    } else {
      list.push_back(ToPlain(v));
    }
  }
  return list;
}

template OptionalList<std::int64_t> Arguments::List(const char* name) const;
template OptionalList<c10::SymInt> Arguments::List(const char* name) const;

at::Device Arguments::DeviceOf(const char* name) const {
  const c10::IValue& value = At(name);
  if (value.isTensor()) return value.toTensor().device();
  const std::vector<at::Tensor> tensors = Tensors(name);
  return tensors.empty() ? at::Device(at::kCPU) : tensors[0].device();
}

void Arguments::RequireOneDevice(const char* reference, std::initializer_list<const char*> host) const {
  const at::Device device = DeviceOf(reference);
  const auto check = [&](const std::string& name, const std::string& shown, const at::Tensor& t) {
    if (!t.defined() || t.device() == device) return;
    if (t.is_cpu() && std::find(host.begin(), host.end(), name) != host.end()) return;
    Fail(Op(), shown, "is on another device than " + std::string(reference), t.device().str(), device.str());
  };
  const auto& arguments = schema_.arguments();
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& value = stack_[first_ + i];
    const std::string& name = arguments[i].name();
    if (value.isTensor()) check(name, name, value.toTensor());
    if (!value.isTensorList() || name == "out") continue;
    const std::vector<at::Tensor> tensors = value.toTensorVector();
    for (std::size_t t = 0; t < tensors.size(); ++t) check(name, name + "[" + std::to_string(t) + "]", tensors[t]);
  }
}

}  // namespace npufa
