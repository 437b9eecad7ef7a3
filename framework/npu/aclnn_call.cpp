#include "npu/aclnn_call.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include "torch_npu_compat.h"

namespace npufa::npu {

namespace {

// A function of aclnn's object interface, which every CANN has.
template <class Function>
Function* ObjectFunction(const char* name) {
  auto* function = reinterpret_cast<Function*>(TorchNpu::Get().AclnnFunction(name));
  TORCH_CHECK(function != nullptr, "npufa: ", name, " not found in CANN's operator libraries (libopapi.so)");
  return function;
}

}  // namespace

AclObjects::~AclObjects() {
  static const auto destroy_tensor = ObjectFunction<int(const aclTensor*)>("aclDestroyTensor");
  static const auto destroy_array = ObjectFunction<int(const aclIntArray*)>("aclDestroyIntArray");
  static const auto destroy_list = ObjectFunction<int(const aclTensorList*)>("aclDestroyTensorList");
  for (const aclTensorList* list : lists_) destroy_list(list);
  for (const aclTensor* tensor : acl_tensors_) destroy_tensor(tensor);
  for (const aclIntArray* array : arrays_) destroy_array(array);
}

aclTensor* AclObjects::Add(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  tensors_.push_back(tensor);
  acl_tensors_.push_back(TorchNpu::Get().ToAcl(tensor));
  return acl_tensors_.back();
}

aclTensorList* AclObjects::Add(const std::vector<at::Tensor>& tensors) {
  static const auto create =
      ObjectFunction<aclTensorList*(const aclTensor* const*, std::uint64_t)>("aclCreateTensorList");
  std::vector<aclTensor*> members;
  for (const at::Tensor& tensor : tensors) {
    tensors_.push_back(tensor);
    members.push_back(TorchNpu::Get().ToAcl(tensor));
  }
  lists_.push_back(create(members.data(), members.size()));
  return lists_.back();
}

aclIntArray* AclObjects::Add(const OptionalList<std::int64_t>& values) {
  if (!values) return nullptr;
  static const auto create = ObjectFunction<aclIntArray*(const std::int64_t*, std::uint64_t)>("aclCreateIntArray");
  arrays_.push_back(create(values->data(), values->size()));
  return arrays_.back();
}

char* AclObjects::Add(const std::string& text) {
  texts_.push_back(std::make_unique<std::string>(text));
  return texts_.back()->data();
}

at::Tensor Task::Convert(const at::Tensor& t, at::ScalarType type) {
  if (!t.defined() || t.scalar_type() == type) return t;
  constexpr std::uint64_t kAlignment = 512;
  const std::uint64_t begin = converted, bytes = static_cast<std::uint64_t>(t.numel()) * c10::elementSize(type);
  converted += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (only_bytes != nullptr) return at::empty(t.sizes(), t.options().dtype(type));
  if (!workspace.defined() || workspace.nbytes() < converted) return t.to(type);  // Launch refuses a small one
  const auto first = static_cast<std::int64_t>(begin), end = static_cast<std::int64_t>(begin + bytes);
  return workspace.view({-1}).view(at::kByte).slice(0, first, end).view(type).view(t.sizes()).copy_(t);
}

AclnnFunctions::AclnnFunctions(const char* op, const std::string& name)
    : op_(op), name_(name), entry_(FindEntryPoint(op_, name)) {}

void AclnnFunctions::Check(int status, const std::string& function) const {
  TORCH_CHECK(status == 0, "npufa::", op_, ": ", function, " failed with status ", status, "\n",
              TorchNpu::Get().RecentError());
}

void AclnnFunctions::Drop(aclOpExecutor* executor) const {
  static const auto destroy = ObjectFunction<int(aclOpExecutor*)>("aclDestroyAclOpExecutor");
  Check(destroy(executor), "aclDestroyAclOpExecutor");
}

void AclnnFunctions::Launch(std::uint64_t workspace_bytes, aclOpExecutor* executor, const Task& task,
                            std::shared_ptr<AclObjects> objects) const {
  at::Tensor workspace = task.workspace;
  const std::uint64_t converted = workspace.defined() ? task.converted : 0;
  if (workspace.defined() && workspace.nbytes() < converted + workspace_bytes) {
    Drop(executor);
    Fail(op_.c_str(), "workspace", "is too small", (std::to_string(workspace.nbytes()) + " bytes").c_str(),
         "at least " + std::to_string(converted + workspace_bytes) + " bytes");
  }
  if (!workspace.defined() && workspace_bytes > 0) {
    workspace = at::empty({static_cast<std::int64_t>(workspace_bytes)}, at::device(task.device).dtype(at::kByte));
  }
  void* stream = torch_npu::CurrentStream(task.device);
  using Second = int (*)(void*, std::uint64_t, aclOpExecutor*, void*);
  const auto second = reinterpret_cast<Second>(entry_.second);
  TorchNpu::Get().Submit(
      name_, [functions = *this, second, workspace, converted, workspace_bytes, executor, stream, objects] {
        void* memory = workspace.defined() ? static_cast<char*>(workspace.data_ptr()) + converted : nullptr;
        const int status = second(memory, workspace_bytes, executor, stream);
        functions.Check(status, functions.name());
        return status;
      });
}

}  // namespace npufa::npu
