// The aclnn operators that torch_npu itself needs to hold and to send tensors: copies between views and types, zeroing,
// padding. Every other operator of torch runs on the CPU.
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "acl/acl.h"
#include "cann/acl_objects.h"
#include "cann/aclnn_error.h"
#include "element_types.h"
#include "runtime.h"

namespace npufa_sim {

namespace {

struct CopyExecutor : aclOpExecutor {
  explicit CopyExecutor(std::function<int()> task) : run(std::move(task)) {}
  std::function<int()> run;
};

// One dimension of a loop over two tensors, strides in elements.
struct LoopDim {
  std::int64_t size, dst_stride, src_stride;
};

template <class To, class From>
void CopyStrided(const LoopDim* dims, std::size_t count, To* dst, const From* src) {
  if (count == 0) {
    *dst = ConvertElement<To>(*src);
    return;
  }
  for (std::int64_t i = 0; i < dims->size; ++i) {
    CopyStrided(dims + 1, count - 1, dst + i * dims->dst_stride, src + i * dims->src_stride);
  }
}

template <class T>
T* FirstElement(const aclTensor& tensor) {
  return static_cast<T*>(tensor.data) + tensor.offset;
}

// False unless src broadcasts to dst.
bool Broadcasts(const aclTensor& src, const aclTensor& dst) {
  if (src.sizes.size() > dst.sizes.size()) return false;
  for (std::size_t back = 1; back <= src.sizes.size(); ++back) {
    const std::int64_t size = src.sizes[src.sizes.size() - back];
    if (size != 1 && size != dst.sizes[dst.sizes.size() - back]) return false;
  }
  return true;
}

// The dimensions of dst; src stands still (stride 0) where it is broadcast.
std::vector<LoopDim> LoopOver(const aclTensor& dst, const aclTensor& src) {
  std::vector<LoopDim> dims;
  const std::size_t missing = dst.sizes.size() - src.sizes.size();
  for (std::size_t i = 0; i < dst.sizes.size(); ++i) {
    const bool moves = i >= missing && src.sizes[i - missing] != 1;
    dims.push_back({dst.sizes[i], dst.strides[i], moves ? src.strides[i - missing] : 0});
  }
  return dims;
}

// The same value everywhere.
template <class T>
std::function<void()> Filler(const aclTensor& tensor, T value) {
  std::vector<LoopDim> dims = LoopOver(tensor, tensor);
  for (LoopDim& dim : dims) dim.src_stride = 0;
  return [dims, value, dst = FirstElement<T>(tensor)] { CopyStrided(dims.data(), dims.size(), dst, &value); };
}

// False when the scalar's type is not one that tensors have.
template <class T>
bool ScalarAs(const aclScalar& scalar, T& value) {
  return VisitElementType(scalar.data_type, [&](auto stored) {
    std::memcpy(&stored, scalar.value.data(), sizeof stored);
    value = ConvertElement<T>(stored);
  });
}

std::string Shape(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

aclnnStatus Prepare(std::uint64_t* workspace_bytes, aclOpExecutor** executor, std::function<int()> run) {
  *workspace_bytes = 0;
  *executor = new CopyExecutor(std::move(run));
  return ACL_SUCCESS;
}

aclnnStatus Execute(const char* api, aclOpExecutor* executor, aclrtStream stream) {
  auto* copy = dynamic_cast<CopyExecutor*>(executor);
  if (copy == nullptr) return ReportApiError(kParamInvalid, api, "executor belongs to another operator, or is null");
  const std::function<int()> run = copy->run;
  if (!copy->repeatable) delete copy;
  return SubmitToStream(stream, run);
}

}  // namespace

}  // namespace npufa_sim

using namespace npufa_sim;

extern "C" {

ACL_FUNC_VISIBILITY aclnnStatus aclnnInplaceCopyGetWorkspaceSize(aclTensor* selfRef, const aclTensor* src,
                                                                 std::uint64_t* workspaceSize,
                                                                 aclOpExecutor** executor) {
  if (!selfRef || !src || !workspaceSize || !executor) {
    return ReportApiError(kParamNullptr, __func__, "an argument is null");
  }
  if (!Broadcasts(*src, *selfRef)) {
    return ReportApiError(
        kParamInvalid, __func__,
        "src has shape " + Shape(src->sizes) + ", expected one that broadcasts to " + Shape(selfRef->sizes));
  }
  const std::vector<LoopDim> dims = LoopOver(*selfRef, *src);
  std::function<int()> run;
  const bool known = VisitElementType(selfRef->data_type, [&](auto to) {
    using To = decltype(to);
    VisitElementType(src->data_type, [&](auto from) {
      using From = decltype(from);
      run = [dims, dst = FirstElement<To>(*selfRef), first = FirstElement<From>(*src)] {
        CopyStrided(dims.data(), dims.size(), dst, static_cast<const From*>(first));
        return static_cast<int>(ACL_SUCCESS);
      };
    });
  });
  if (!known || !run) {
    return ReportApiError(
        kParamInvalid, __func__,
        "no copy from aclDataType " + std::to_string(src->data_type) + " to " + std::to_string(selfRef->data_type));
  }
  return Prepare(workspaceSize, executor, std::move(run));
}

ACL_FUNC_VISIBILITY aclnnStatus aclnnInplaceCopy(void*, std::uint64_t, aclOpExecutor* executor, aclrtStream stream) {
  return Execute(__func__, executor, stream);
}

ACL_FUNC_VISIBILITY aclnnStatus aclnnInplaceZeroGetWorkspaceSize(aclTensor* selfRef, std::uint64_t* workspaceSize,
                                                                 aclOpExecutor** executor) {
  if (!selfRef || !workspaceSize || !executor) return ReportApiError(kParamNullptr, __func__, "an argument is null");
  std::function<int()> run;
  VisitElementType(selfRef->data_type, [&](auto element) {
    run = [fill = Filler(*selfRef, element)] {
      fill();
      return static_cast<int>(ACL_SUCCESS);
    };
  });
  if (!run) {
    return ReportApiError(kParamInvalid, __func__,
                          "aclDataType " + std::to_string(selfRef->data_type) + " is not supported");
  }
  return Prepare(workspaceSize, executor, std::move(run));
}

// pad: before and after the last dimension, then of the one before it, and so on.
ACL_FUNC_VISIBILITY aclnnStatus aclnnConstantPadNdGetWorkspaceSize(const aclTensor* self, const aclIntArray* pad,
                                                                   const aclScalar* value, const aclTensor* out,
                                                                   std::uint64_t* workspaceSize,
                                                                   aclOpExecutor** executor) {
  if (!self || !pad || !value || !out || !workspaceSize || !executor) {
    return ReportApiError(kParamNullptr, __func__, "an argument is null");
  }
  const std::size_t rank = self->sizes.size();
  aclTensor inner = *out;  // the part of out that self fills
  bool fits = pad->values.size() % 2 == 0 && pad->values.size() <= 2 * rank && out->sizes.size() == rank;
  for (std::size_t i = 0; fits && i < rank; ++i) {
    const std::size_t at = 2 * (rank - 1 - i);
    const bool padded = at < pad->values.size();
    const std::int64_t before = padded ? pad->values[at] : 0, after = padded ? pad->values[at + 1] : 0;
    fits = before >= 0 && after >= 0 && out->sizes[i] == before + self->sizes[i] + after;
    inner.sizes[i] = self->sizes[i];
    inner.offset += before * out->strides[i];
  }
  if (!fits) {
    return ReportApiError(kParamInvalid, __func__,
                          "self has shape " + Shape(self->sizes) + ", pad " + Shape(pad->values) + ", out " +
                              Shape(out->sizes) + "; expected pads of 0 or more that add up to out");
  }
  std::function<int()> run;
  VisitElementType(self->data_type == out->data_type ? self->data_type : ACL_DT_UNDEFINED, [&](auto element) {
    using T = decltype(element);
    T constant{};
    if (!ScalarAs(*value, constant)) return;
    run = [fill = Filler(*out, constant), dims = LoopOver(inner, *self), dst = FirstElement<T>(inner),
           src = FirstElement<T>(*self)] {
      fill();
      CopyStrided(dims.data(), dims.size(), dst, static_cast<const T*>(src));
      return static_cast<int>(ACL_SUCCESS);
    };
  });
  if (!run) {
    return ReportApiError(kParamInvalid, __func__,
                          "self, value and out have aclDataTypes " + std::to_string(self->data_type) + ", " +
                              std::to_string(value->data_type) + " and " + std::to_string(out->data_type) +
                              "; expected self and out of one type that the simulated chip holds");
  }
  return Prepare(workspaceSize, executor, std::move(run));
}

ACL_FUNC_VISIBILITY aclnnStatus aclnnConstantPadNd(void*, std::uint64_t, aclOpExecutor* executor, aclrtStream stream) {
  return Execute(__func__, executor, stream);
}

ACL_FUNC_VISIBILITY aclnnStatus aclnnInplaceZero(void*, std::uint64_t, aclOpExecutor* executor, aclrtStream stream) {
  return Execute(__func__, executor, stream);
}

}  // extern "C"
