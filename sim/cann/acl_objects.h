// The objects behind the opaque handles of aclnn.
#pragma once

#include <cstdint>
#include <vector>

#include "aclnn/acl_meta.h"

struct aclTensor {
  std::vector<std::int64_t> sizes, strides;  // of the view, in elements
  std::int64_t offset = 0;                   // elements from data to the view's first one
  std::vector<std::int64_t> storage_sizes;
  aclDataType data_type = ACL_DT_UNDEFINED;
  aclFormat format = ACL_FORMAT_UNDEFINED;
  void* data = nullptr;
};

struct aclScalar {
  aclDataType data_type = ACL_DT_UNDEFINED;
  std::vector<unsigned char> value;
};

struct aclIntArray {
  std::vector<std::int64_t> values;
};

struct aclFloatArray {
  std::vector<float> values;
};

// std::vector<bool> has no elements that a pointer can point to.
struct aclBoolArray {
  std::vector<unsigned char> values;
};

// Lists own their elements: destroying the list destroys them.
struct aclTensorList {
  std::vector<const aclTensor*> tensors;
};

struct aclScalarList {
  std::vector<const aclScalar*> scalars;
};

// What the first phase leaves for the second, which frees it unless it is repeatable.
struct aclOpExecutor {
  virtual ~aclOpExecutor() = default;
  bool repeatable = false;
};
