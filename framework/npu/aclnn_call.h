// Calls of aclnn entry points, which are found at run time.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tensor_desc.h"
#include "npu/operator_package.h"
#include "npu/torch_npu_api.h"

struct aclIntArray;
struct aclTensorList;
struct aclOpExecutor;

namespace npufa::npu {

// ACL objects and host copies of one call; freed with the last owner, which is the task of the second phase.
class AclObjects {
 public:
  AclObjects() = default;
  AclObjects(const AclObjects&) = delete;
  ~AclObjects();

  // The C value for an entry point's parameter.
  aclTensor* Add(const at::Tensor& tensor);
  aclTensorList* Add(const std::vector<at::Tensor>& tensors);
  aclIntArray* Add(const OptionalList<std::int64_t>& values);
  char* Add(const std::string& text);
  std::int64_t Add(std::int64_t value) { return value; }
  double Add(double value) { return value; }
  bool Add(bool value) { return value; }

 private:
  std::vector<at::Tensor> tensors_;  // memory stays allocated until the launch is on the stream
  std::vector<aclTensor*> acl_tensors_;
  std::vector<aclTensorList*> lists_;  // own the tensors in them
  std::vector<aclIntArray*> arrays_;
  std::vector<std::unique_ptr<std::string>> texts_;
};

// What is to be done with one call.
struct Task {
  Task(c10::Device where, at::Tensor given = {}, std::uint64_t* measured = nullptr)
      : device(where), workspace(std::move(given)), only_bytes(measured) {}

  // `t` in another type. The copy is in the caller's workspace if there is one: of what is allocated while a captured
  // graph is updated nothing is left when it is replayed.
  at::Tensor Convert(const at::Tensor& t, at::ScalarType type);

  c10::Device device;
  at::Tensor workspace;         // of the caller; undefined: from torch's allocator
  std::uint64_t* only_bytes;    // not null: takes the size of the workspace, and nothing runs
  std::uint64_t converted = 0;  // bytes at the beginning of the workspace that hold copies
};

// Both phases of one operator. Raises "npufa::<op>: ..." with the text of ACL's error.
class AclnnFunctions {
 public:
  AclnnFunctions(const char* op, const std::string& name);

  const std::string& name() const { return name_; }
  void* first() const { return entry_.first; }
  void Check(int status, const std::string& function) const;
  // Second phase on the current stream.
  void Launch(std::uint64_t workspace_bytes, aclOpExecutor* executor, const Task& task,
              std::shared_ptr<AclObjects> objects) const;
  // Instead of the second phase.
  void Drop(aclOpExecutor* executor) const;

 private:
  std::string op_, name_;
  EntryPoint entry_;
};

// Calls entry point `name` of `op` with `values` as its parameters in order: tensors, lists of them or of integers
// (null where undefined or absent), texts, integers, doubles, bools. The C types of the entry point follow from them.
template <class... Values>
void CallAclnn(const char* op, const char* name, const Task& task, const Values&... values) {
  const AclnnFunctions functions(op, name);
  auto objects = std::make_shared<AclObjects>();
  std::uint64_t workspace_bytes = 0;
  aclOpExecutor* executor = nullptr;
  // Braces: parameters are made in their order.
  const std::tuple<decltype(objects->Add(values))...> parameters{objects->Add(values)...};
  using First = int (*)(decltype(objects->Add(values))..., std::uint64_t*, aclOpExecutor**);
  const int status = std::apply(
      [&](auto... parameter) {
        return reinterpret_cast<First>(functions.first())(parameter..., &workspace_bytes, &executor);
      },
      parameters);
  functions.Check(status, functions.name() + "GetWorkspaceSize");
  if (task.only_bytes != nullptr) {
    *task.only_bytes = task.converted + workspace_bytes;
    return functions.Drop(executor);
  }
  functions.Launch(workspace_bytes, executor, task, std::move(objects));
}

}  // namespace npufa::npu
