#include "npu/dropout.h"

#include <ATen/ops/empty.h>

#include "dropout_threshold.h"
#include "npu/aclnn_call.h"

namespace npufa::npu {

at::Tensor GenerateDropoutMask(const char* op, std::int64_t elements, double keep_prob, std::int64_t seed,
                               std::int64_t offset, const at::Device& device) {
  at::Tensor mask = at::empty({(elements + 7) / 8}, at::device(device).dtype(at::kByte));
  if (elements == 0) return mask;
  CallAclnn(op, "aclnnNpufaDropoutMask", device, elements, seed, offset,
            static_cast<std::int64_t>(DropoutThreshold(keep_prob)), mask);
  return mask;
}

}  // namespace npufa::npu
