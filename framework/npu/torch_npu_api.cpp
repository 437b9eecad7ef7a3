#include "npu/torch_npu_api.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

namespace npufa::npu {

namespace {

// A library that is in the process already, whoever loaded it.
void* Loaded(const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  TORCH_CHECK(handle != nullptr, "npufa: ", library, " is not loaded; import torch_npu before operators run on an NPU");
  return handle;
}

template <class Function>
void Find(const char* library, const char* symbol, Function** function) {
  *function = reinterpret_cast<Function*>(dlsym(Loaded(library), symbol));
  TORCH_CHECK(*function != nullptr, "npufa: ", library, " has no ", symbol,
              "; expected the torch_npu of npufa's requirements: pip install npufa[npu]");
}

}  // namespace

const TorchNpu& TorchNpu::Get() {
  static const TorchNpu api;
  return api;
}

TorchNpu::TorchNpu() {
  constexpr const char kLibrary[] = "libtorch_npu.so";
  Find(kLibrary, "_Z16GetOpApiFuncAddrPKc", &find_aclnn_);
  Find(kLibrary, "_Z11ConvertTypeRKN2at6TensorE", &to_acl_);
  Find(kLibrary, "_ZNK7c10_npu9NPUStream6streamEb", &stream_handle_);
  Find(kLibrary,
       "_ZN6at_npu6native9OpCommand10RunOpApiV2ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
       "RKSt8functionIFivEEb",
       &run_op_api_);
  Find(kLibrary, "_ZN6at_npu16NPUGeneratorImpl16philox_npu_stateEm", &philox_);
  Find("libascendcl.so", "aclGetRecentErrMsg", &recent_error_);
}

void* TorchNpu::AclnnFunction(const char* name) const {
  void* function = find_aclnn_(name);
  return function != nullptr ? function : dlsym(RTLD_DEFAULT, name);
}

void* TorchNpu::CurrentStream(c10::Device device) const {
  const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  return stream_handle_(&stream, false);
}

std::string TorchNpu::RecentError() const {
  const char* text = recent_error_();
  return text == nullptr || *text == '\0' ? "no further information" : text;
}

}  // namespace npufa::npu
