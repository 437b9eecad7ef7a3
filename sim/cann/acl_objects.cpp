#include "acl_objects.h"

#include <algorithm>

#include "aclnn/aclnn_base.h"
#include "aclnn_error.h"
#include "graph/types.h"

namespace {

using npufa_sim::kParamInvalid;
using npufa_sim::kParamNullptr;
using npufa_sim::ReportApiError;

template <class Array, class Element>
Array* MakeArray(const char* api, const Element* values, std::uint64_t size) {
  if (values == nullptr && size > 0) {
    ReportApiError(kParamNullptr, api, "value is null, size is " + std::to_string(size));
    return nullptr;
  }
  return new Array{{values, values + size}};
}

template <class Object>
aclnnStatus Destroy(const char* api, const Object* object) {
  if (object == nullptr) return ReportApiError(kParamNullptr, api, "the object is null");
  delete object;
  return OK;
}

template <class List>
aclnnStatus Size(const char* api, const List* list, std::uint64_t* size, std::size_t count_if_present) {
  if (list == nullptr || size == nullptr) return ReportApiError(kParamNullptr, api, "an argument is null");
  *size = count_if_present;
  return OK;
}

// The caller frees the copy with delete[].
aclnnStatus CopySizes(const char* api, const aclTensor* tensor, const std::vector<std::int64_t> aclTensor::* member,
                      std::int64_t** sizes, std::uint64_t* count) {
  if (tensor == nullptr || sizes == nullptr || count == nullptr) {
    return ReportApiError(kParamNullptr, api, "an argument is null");
  }
  const std::vector<std::int64_t>& from = tensor->*member;
  *sizes = new std::int64_t[from.size()];
  *count = from.size();
  std::copy(from.begin(), from.end(), *sizes);
  return OK;
}

bool AnyNegative(const std::int64_t* values, std::uint64_t count) {
  return std::any_of(values, values + count, [](std::int64_t value) { return value < 0; });
}

}  // namespace

aclTensor* aclCreateTensor(const std::int64_t* viewDims, std::uint64_t viewDimsNum, aclDataType dataType,
                           const std::int64_t* stride, std::int64_t offset, aclFormat format,
                           const std::int64_t* storageDims, std::uint64_t storageDimsNum, void* tensorData) {
  if ((viewDims == nullptr && viewDimsNum > 0) || (storageDims == nullptr && storageDimsNum > 0)) {
    ReportApiError(kParamNullptr, __func__, "sizes are null");
    return nullptr;
  }
  if (AnyNegative(viewDims, viewDimsNum) || AnyNegative(storageDims, storageDimsNum) || offset < 0) {
    ReportApiError(kParamInvalid, __func__, "a size or the offset is negative");
    return nullptr;
  }
  auto* tensor = new aclTensor{{viewDims, viewDims + viewDimsNum},
                               {},
                               offset,
                               {storageDims, storageDims + storageDimsNum},
                               dataType,
                               format,
                               tensorData};
  if (stride != nullptr) {
    tensor->strides.assign(stride, stride + viewDimsNum);
    return tensor;
  }
  tensor->strides.resize(viewDimsNum);  // contiguous
  std::int64_t step = 1;
  for (std::uint64_t i = viewDimsNum; i-- > 0;) {
    tensor->strides[i] = step;
    step *= std::max<std::int64_t>(viewDims[i], 1);
  }
  return tensor;
}

aclScalar* aclCreateScalar(void* value, aclDataType dataType) {
  const int bytes = ge::GetSizeByDataType(static_cast<ge::DataType>(dataType));
  if (value == nullptr || bytes < 0 || bytes > ge::kDataTypeSizeBitOffset) {
    ReportApiError(kParamInvalid, __func__, "value is null or has no size in bytes");
    return nullptr;
  }
  const auto* from = static_cast<const unsigned char*>(value);
  return new aclScalar{dataType, {from, from + bytes}};
}

aclIntArray* aclCreateIntArray(const std::int64_t* value, std::uint64_t size) {
  return MakeArray<aclIntArray>(__func__, value, size);
}

aclFloatArray* aclCreateFloatArray(const float* value, std::uint64_t size) {
  return MakeArray<aclFloatArray>(__func__, value, size);
}

aclBoolArray* aclCreateBoolArray(const bool* value, std::uint64_t size) {
  return MakeArray<aclBoolArray>(__func__, value, size);
}

aclTensorList* aclCreateTensorList(const aclTensor* const* value, std::uint64_t size) {
  return MakeArray<aclTensorList>(__func__, value, size);
}

aclScalarList* aclCreateScalarList(const aclScalar* const* value, std::uint64_t size) {
  return MakeArray<aclScalarList>(__func__, value, size);
}

aclnnStatus aclDestroyTensor(const aclTensor* tensor) { return Destroy(__func__, tensor); }
aclnnStatus aclDestroyScalar(const aclScalar* scalar) { return Destroy(__func__, scalar); }
aclnnStatus aclDestroyIntArray(const aclIntArray* array) { return Destroy(__func__, array); }
aclnnStatus aclDestroyFloatArray(const aclFloatArray* array) { return Destroy(__func__, array); }
aclnnStatus aclDestroyBoolArray(const aclBoolArray* array) { return Destroy(__func__, array); }

aclnnStatus aclDestroyTensorList(const aclTensorList* array) {
  if (array != nullptr) {
    for (const aclTensor* tensor : array->tensors) delete tensor;
  }
  return Destroy(__func__, array);
}

aclnnStatus aclDestroyScalarList(const aclScalarList* array) {
  if (array != nullptr) {
    for (const aclScalar* scalar : array->scalars) delete scalar;
  }
  return Destroy(__func__, array);
}

aclnnStatus aclGetViewShape(const aclTensor* tensor, std::int64_t** viewDims, std::uint64_t* viewDimsNum) {
  return CopySizes(__func__, tensor, &aclTensor::sizes, viewDims, viewDimsNum);
}

aclnnStatus aclGetStorageShape(const aclTensor* tensor, std::int64_t** storageDims, std::uint64_t* storageDimsNum) {
  return CopySizes(__func__, tensor, &aclTensor::storage_sizes, storageDims, storageDimsNum);
}

aclnnStatus aclGetViewStrides(const aclTensor* tensor, std::int64_t** stridesValue, std::uint64_t* stridesNum) {
  return CopySizes(__func__, tensor, &aclTensor::strides, stridesValue, stridesNum);
}

aclnnStatus aclGetViewOffset(const aclTensor* tensor, std::int64_t* offset) {
  if (tensor == nullptr || offset == nullptr) return ReportApiError(kParamNullptr, __func__, "an argument is null");
  *offset = tensor->offset;
  return OK;
}

aclnnStatus aclGetFormat(const aclTensor* tensor, aclFormat* format) {
  if (tensor == nullptr || format == nullptr) return ReportApiError(kParamNullptr, __func__, "an argument is null");
  *format = tensor->format;
  return OK;
}

aclnnStatus aclGetDataType(const aclTensor* tensor, aclDataType* dataType) {
  if (tensor == nullptr || dataType == nullptr) return ReportApiError(kParamNullptr, __func__, "an argument is null");
  *dataType = tensor->data_type;
  return OK;
}

aclnnStatus aclGetIntArraySize(const aclIntArray* array, std::uint64_t* size) {
  return Size(__func__, array, size, array == nullptr ? 0 : array->values.size());
}

aclnnStatus aclGetFloatArraySize(const aclFloatArray* array, std::uint64_t* size) {
  return Size(__func__, array, size, array == nullptr ? 0 : array->values.size());
}

aclnnStatus aclGetBoolArraySize(const aclBoolArray* array, std::uint64_t* size) {
  return Size(__func__, array, size, array == nullptr ? 0 : array->values.size());
}

aclnnStatus aclGetTensorListSize(const aclTensorList* tensorList, std::uint64_t* size) {
  return Size(__func__, tensorList, size, tensorList == nullptr ? 0 : tensorList->tensors.size());
}

aclnnStatus aclGetScalarListSize(const aclScalarList* scalarList, std::uint64_t* size) {
  return Size(__func__, scalarList, size, scalarList == nullptr ? 0 : scalarList->scalars.size());
}

aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) {
  if (executor == nullptr) return ReportApiError(kParamNullptr, __func__, "executor is null");
  executor->repeatable = true;
  return OK;
}

aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor* executor) { return Destroy(__func__, executor); }

aclnnStatus aclnnInit(const char*) { return OK; }
aclnnStatus aclnnFinalize() { return OK; }
