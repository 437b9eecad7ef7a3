#include "tensor_view.h"

#include <cstring>

#include "aclnn_error.h"
#include "data_types.h"

namespace npufa_sim {

namespace {

template <class T>
TensorView ArrayView(const std::vector<T>& values, ge::DataType data_type) {
  auto bytes = std::make_shared<std::vector<unsigned char>>(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes->data(), values.data(), bytes->size());
  const auto count = static_cast<std::int64_t>(values.size());
  return {{count}, {1}, data_type, ge::FORMAT_ND, bytes->data(), bytes};
}

// Calls move(address of an element, or of a whole row, in the view; position among all bytes in order; bytes).
template <class Move>
void ForEachRun(const TensorView& view, const Move& move) {
  if (view.Count() == 0) return;
  const std::int64_t element = ge::GetSizeByDataType(view.data_type);
  const std::size_t rank = view.sizes.size();
  const std::int64_t row = rank == 0 ? 1 : view.sizes.back(), step = rank == 0 ? 1 : view.strides.back();
  std::vector<std::int64_t> index(rank, 0);
  std::size_t position = 0;
  for (std::int64_t left = view.Count() / row; left > 0; --left) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i + 1 < rank; ++i) offset += index[i] * view.strides[i];
    auto* start = static_cast<unsigned char*>(view.data) + offset * element;
    const std::int64_t runs = step == 1 ? 1 : row, bytes = row / runs * element;
    for (std::int64_t i = 0; i < runs; ++i, position += bytes) move(start + i * step * element, position, bytes);
    for (std::size_t i = rank - (rank > 0); i-- > 0 && ++index[i] == view.sizes[i];) index[i] = 0;
  }
}

}  // namespace

std::int64_t TensorView::Count() const {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return count;
}

std::uint64_t TensorView::Bytes() const { return static_cast<std::uint64_t>(ge::GetSizeInBytes(Count(), data_type)); }

bool TensorView::IsContiguous() const {
  if (Count() == 0) return true;
  std::int64_t step = 1;
  for (std::size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] != 1 && strides[i] != step) return false;
    step *= sizes[i];
  }
  return true;
}

TensorView ViewOf(const aclTensor& tensor, const std::string& name) {
  TensorView view;
  view.sizes = tensor.sizes;
  view.strides = tensor.strides;
  view.data_type = static_cast<ge::DataType>(tensor.data_type);
  view.format = static_cast<ge::Format>(tensor.format);
  const int element = ge::GetSizeByDataType(view.data_type);
  if (element < 0) throw AclnnError(kParamInvalid, name + " has an unknown type, " + NameOf(view.data_type));
  std::int64_t count = 1;
  for (const std::int64_t size : view.sizes) {
    if (__builtin_mul_overflow(count, size, &count)) throw AclnnError(kParamInvalid, name + " has too many elements");
  }
  if (ge::GetSizeInBytes(count, view.data_type) < 0) throw AclnnError(kParamInvalid, name + " has too many bytes");
  if (element > ge::kDataTypeSizeBitOffset && (tensor.offset != 0 || !view.IsContiguous())) {
    throw AclnnError(kParamInvalid, name + " of type " + NameOf(view.data_type) + " must be contiguous, from offset 0");
  }
  view.data = static_cast<unsigned char*>(tensor.data) + (tensor.data == nullptr ? 0 : tensor.offset * element);
  return view;
}

TensorView ViewOf(const aclIntArray& array) { return ArrayView(array.values, ge::DT_INT64); }
TensorView ViewOf(const aclFloatArray& array) { return ArrayView(array.values, ge::DT_FLOAT); }
TensorView ViewOf(const aclBoolArray& array) { return ArrayView(array.values, ge::DT_BOOL); }

void CopyContiguous(const TensorView& view, unsigned char* to) {
  ForEachRun(view, [to](const unsigned char* in_view, std::size_t position, std::size_t bytes) {
    std::memcpy(to + position, in_view, bytes);
  });
}

void CopyToView(const unsigned char* from, const TensorView& view) {
  ForEachRun(view, [from](unsigned char* in_view, std::size_t position, std::size_t bytes) {
    std::memcpy(in_view, from + position, bytes);
  });
}

}  // namespace npufa_sim
