// One call of an operator, collected by its generated entry point and prepared for launch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "aclnn/acl_meta.h"
#include "call_state.h"
#include "register/op_def.h"
#include "tensor_view.h"

namespace npufa_sim {

struct CallParam {
  const ops::OpParamDef* def = nullptr;
  bool present = false;
  std::vector<TensorView> tensors;  // one, or the list of a dynamic parameter
};

class OpCall {
 public:
  // `library`: an address within the library of the entry point; the kernels are found from its place.
  OpCall(const char* op_type, const char* api, const void* library);

  // In the order of the definition; nullptr for an absent argument.
  void Input(const aclTensor* tensor);
  void Input(const aclTensorList* list);
  void Input(const aclIntArray* array);
  void Input(const aclFloatArray* array);
  void Input(const aclBoolArray* array);
  void Output(const aclTensor* tensor);
  void Output(const aclTensorList* list);
  void Attr(bool value);
  void Attr(std::int64_t value);
  void Attr(double value);
  void Attr(const char* value);
  void Attr(const aclIntArray* value);
  void Attr(const aclFloatArray* value);
  void Attr(const aclBoolArray* value);

  // Checks everything, infers, tiles. On failure no executor is made and the text is what aclGetRecentErrMsg() returns.
  aclnnStatus Prepare(std::uint64_t* workspace_size, aclOpExecutor** executor);

 private:
  template <class Object>
  void AddTensor(std::vector<CallParam>* params, const std::list<ops::OpParamDef>& defs, const Object* object);
  void AddAttr(const char* kind, bool given, gert::RuntimeAttrs::Value value);
  void Defer(aclnnStatus code, const std::string& message);

  const ops::OpDef* def_;
  std::string api_;
  const void* library_;
  std::vector<CallParam> inputs_, outputs_;
  std::vector<gert::RuntimeAttrs::Value> attrs_;
  aclnnStatus status_ = OK;  // of the arguments so far
  std::string message_;
};

// Second phase, the same for all operators.
aclnnStatus RunExecutor(const char* api, void* workspace, std::uint64_t workspace_size, aclOpExecutor* executor,
                        aclrtStream stream);

}  // namespace npufa_sim
