#include "npu/torch_npu_api.h"

#include "npu/acl_tensor.h"
#include "npu/operator_package.h"
#include "torch_npu_compat.h"

namespace npufa::npu {

using torch_npu::Find;
using torch_npu::FindOptional;
using torch_npu::kLibrary;

const TorchNpu& TorchNpu::Get() {
  static const TorchNpu api;
  return api;
}

TorchNpu::TorchNpu()
    : find_aclnn_(FindOptional<void*(const char*)>(kLibrary, "_Z16GetOpApiFuncAddrPKc")),
      to_acl_(FindOptional<aclTensor*(const at::Tensor&)>(kLibrary, "_Z11ConvertTypeRKN2at6TensorE")),
#if _GLIBCXX_USE_CXX11_ABI
      run_op_api_(Find<void(const std::string&, const std::function<int()>&, bool)>(
          kLibrary,
          "_ZN6at_npu6native9OpCommand10RunOpApiV2ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
          "RKSt8functionIFivEEb")),
#else
      run_op_api_(Find<void(const std::string&, const std::function<int()>&, bool)>(
          kLibrary, "_ZN6at_npu6native9OpCommand10RunOpApiV2ERKSsRKSt8functionIFivEEb")),
#endif
      recent_error_(Find<const char*()>("libascendcl.so", "aclGetRecentErrMsg")) {
}

void* TorchNpu::AclnnFunction(const char* name) const {
  void* function = find_aclnn_ != nullptr ? find_aclnn_(name) : FindInPackages(name);
  return function != nullptr ? function : dlsym(RTLD_DEFAULT, name);
}

aclTensor* TorchNpu::ToAcl(const at::Tensor& tensor) const {
  return to_acl_ != nullptr ? to_acl_(tensor) : MakeAclTensor(tensor);
}

std::string TorchNpu::RecentError() const {
  const char* text = recent_error_();
  return text == nullptr || *text == '\0' ? "no further information" : text;
}

}  // namespace npufa::npu
