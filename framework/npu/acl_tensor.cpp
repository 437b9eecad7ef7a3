#include "npu/acl_tensor.h"

#include <c10/util/Exception.h>

#include <cstdint>

#include "npu/torch_npu_api.h"

namespace npufa::npu {

namespace {

constexpr int kFormatNd = 2;  // ACL_FORMAT_ND

// aclDataType.
int AclType(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return 0;
    case at::kHalf: return 1;
    case at::kChar: return 2;
    case at::kInt: return 3;
    case at::kByte: return 4;
    case at::kLong: return 9;
    case at::kDouble: return 11;
    case at::kBool: return 12;
    case at::kBFloat16: return 27;
    default:
      TORCH_CHECK(false, "npufa: a tensor has a type that this torch_npu does not pass to operators, got ", type,
                  "; expected a newer torch_npu");
  }
}

}  // namespace

aclTensor* MakeAclTensor(const at::Tensor& tensor) {
  using Create = aclTensor*(const std::int64_t*, std::uint64_t, int, const std::int64_t*, std::int64_t, int,
                            const std::int64_t*, std::uint64_t, void*);
  static const auto create = reinterpret_cast<Create*>(TorchNpu::Get().AclnnFunction("aclCreateTensor"));
  TORCH_CHECK(create != nullptr, "npufa: aclCreateTensor not found in CANN's operator libraries (libopapi.so)");
  const c10::Storage& storage = tensor.storage();
  const auto elements = static_cast<std::int64_t>(storage.nbytes() / tensor.itemsize());
  return create(tensor.sizes().data(), tensor.sizes().size(), AclType(tensor.scalar_type()), tensor.strides().data(),
                tensor.storage_offset(), kFormatNd, &elements, 1, storage.mutable_data());
}

}  // namespace npufa::npu
