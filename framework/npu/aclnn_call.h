// Calls of aclnn entry points, described by one list per operator: what each parameter is and which argument of the
// torch operator it comes from. The C types of the entry point follow from the list.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arguments.h"
#include "npu/torch_npu_api.h"

struct aclIntArray;
struct aclOpExecutor;

namespace npufa::npu {

// ACL objects and host copies of one call; freed with the last owner, which is the task of the second phase.
class AclObjects {
 public:
  AclObjects() = default;
  AclObjects(const AclObjects&) = delete;
  ~AclObjects();

  aclTensor* Add(const at::Tensor& tensor);
  aclIntArray* Add(const std::vector<std::int64_t>& values);
  char* Add(std::string text);

 private:
  std::vector<at::Tensor> tensors_;  // memory stays allocated until the launch is on the stream
  std::vector<aclTensor*> acl_tensors_;
  std::vector<aclIntArray*> arrays_;
  std::vector<std::unique_ptr<std::string>> texts_;
};

// What a parameter is made from.
struct CallSource {
  const Arguments& arguments;
  const std::vector<at::Tensor>& outputs;
  AclObjects& objects;
};

// Kinds of parameters. `name` is the argument in the torch operator's schema.
struct Input {
  const char* name;
  aclTensor* Value(const CallSource& s) const {
    const at::Tensor tensor = s.arguments.OptionalTensor(name);
    return tensor.defined() ? s.objects.Add(tensor) : nullptr;
  }
};

struct Lengths {
  const char* name;
  aclIntArray* Value(const CallSource& s) const {
    const auto list = s.arguments.List<std::int64_t>(name);
    return list.has_value() ? s.objects.Add(*list) : nullptr;
  }
};

struct Integer {
  const char* name;
  std::int64_t missing = 0;  // for an argument that the torch operator does not have
  std::int64_t Value(const CallSource& s) const { return s.arguments.Integer(name, missing); }
};

struct Number {
  const char* name;
  double Value(const CallSource& s) const { return s.arguments.Number(name); }
};

struct Text {
  const char* name;
  char* Value(const CallSource& s) const { return s.objects.Add(s.arguments.Text(name)); }
};

struct Output {
  std::size_t index;
  aclTensor* Value(const CallSource& s) const { return s.objects.Add(s.outputs.at(index)); }
};

// Both phases of one operator. Raises "npufa::<op>: ..." with the text of ACL's error.
class AclnnFunctions {
 public:
  AclnnFunctions(const char* op, const std::string& name);

  const std::string& name() const { return name_; }
  void* first() const { return first_; }
  void Check(int status, const std::string& function) const;
  // Second phase on the current stream, with a workspace from torch's allocator.
  void Launch(std::uint64_t workspace_bytes, aclOpExecutor* executor, c10::Device device,
              std::shared_ptr<AclObjects> objects) const;

 private:
  std::string op_, name_;
  void* first_;
  void* second_;
};

// Entry point `name` with the parameters in order.
template <class... Params>
struct AclnnEntry {
  const char* name;
  std::tuple<Params...> params;

  void Call(const Arguments& arguments, const std::vector<at::Tensor>& outputs) const {
    const AclnnFunctions functions(arguments.Op(), name);
    auto objects = std::make_shared<AclObjects>();
    const CallSource source{arguments, outputs, *objects};
    std::uint64_t workspace_bytes = 0;
    aclOpExecutor* executor = nullptr;
    std::apply(
        [&](const Params&... param) {
          // Braces: parameters are made in their order.
          const std::tuple<decltype(param.Value(source))...> values{param.Value(source)...};
          using First = int (*)(decltype(param.Value(source))..., std::uint64_t*, aclOpExecutor**);
          const int status = std::apply(
              [&](auto... value) {
                return reinterpret_cast<First>(functions.first())(value..., &workspace_bytes, &executor);
              },
              values);
          functions.Check(status, functions.name() + "GetWorkspaceSize");
        },
        params);
    functions.Launch(workspace_bytes, executor, outputs.at(0).device(), std::move(objects));
  }
};

template <class... Params>
constexpr AclnnEntry<Params...> Entry(const char* name, Params... params) {
  return {name, {params...}};
}

}  // namespace npufa::npu
