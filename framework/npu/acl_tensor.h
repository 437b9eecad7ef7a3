// torch's tensors as ACL's, for versions of torch_npu that have no such function to offer.
#pragma once

#include <ATen/core/Tensor.h>

struct aclTensor;

namespace npufa::npu {

// The tensor's memory is in one of torch's own formats, not in one of the chip's. The caller destroys it with
// aclDestroyTensor.
aclTensor* MakeAclTensor(const at::Tensor& tensor);

}  // namespace npufa::npu
