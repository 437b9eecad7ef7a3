// A tensor of a call as the executor keeps it: the caller may destroy its handle between the two phases.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "acl_objects.h"
#include "graph/types.h"

namespace npufa_sim {

struct TensorView {
  std::vector<std::int64_t> sizes, strides;
  ge::DataType data_type = ge::DT_UNDEFINED;
  ge::Format format = ge::FORMAT_ND;
  void* data = nullptr;                                   // of the first element
  std::shared_ptr<std::vector<unsigned char>> host_data;  // elements of an array argument

  std::int64_t Count() const;
  std::uint64_t Bytes() const;
  bool IsContiguous() const;
};

// Throws AclnnError when the type has no size in bytes or the sizes make no tensor. `name` is for the message.
TensorView ViewOf(const aclTensor& tensor, const std::string& name);
TensorView ViewOf(const aclIntArray& array);
TensorView ViewOf(const aclFloatArray& array);
TensorView ViewOf(const aclBoolArray& array);

// The elements in the order of the axes, from a view or to one.
void CopyContiguous(const TensorView& view, unsigned char* to);
void CopyToView(const unsigned char* from, const TensorView& view);

}  // namespace npufa_sim
