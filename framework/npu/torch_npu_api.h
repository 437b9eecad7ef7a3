// The parts of torch_npu that calls of aclnn need, found at run time: npufa is built without torch_npu and loads without
// it, and the same binary serves real and simulated chips.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

struct aclTensor;

namespace npufa::npu {

class TorchNpu {
 public:
  // Raises when torch_npu is not loaded, or has other interfaces than the versions npufa is made for.
  static const TorchNpu& Get();

  // Address of a function of aclnn: in custom operator packages (ASCEND_CUSTOM_OPP_PATH, ASCEND_OPP_PATH/vendors), then
  // in CANN's own libraries, then in what the process has loaded. nullptr when there is none.
  void* AclnnFunction(const char* name) const;
  // The caller destroys it with aclDestroyTensor.
  aclTensor* ToAcl(const at::Tensor& tensor) const;
  // Executes launch() in its order among torch_npu's own tasks: at once, or on the thread of the task queue.
  void Submit(const std::string& name, const std::function<int()>& launch) const { run_op_api_(name, launch, false); }
  // Text of this thread's last ACL error.
  std::string RecentError() const;

 private:
  TorchNpu();

  // Both null in torch_npu up to 2.6 and in the first releases of 2.7.1, 2.8.0 and 2.9.0.
  void* (*find_aclnn_)(const char*);
  aclTensor* (*to_acl_)(const at::Tensor&);
  void (*run_op_api_)(const std::string&, const std::function<int()>&, bool sync);
  const char* (*recent_error_)();
};

}  // namespace npufa::npu
