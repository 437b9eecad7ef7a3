#include "reduce.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "ascendc/dtypes.h"
#include "mailbox.h"

namespace npufa_sim::hccl {

namespace {

template <class T>
T Combined(T a, T b, HcclReduceOp op) {
  using Wide = std::conditional_t<std::is_integral_v<T> || std::is_same_v<T, double>, T, float>;
  const Wide x = static_cast<Wide>(a), y = static_cast<Wide>(b);
  switch (op) {
    case HCCL_REDUCE_SUM: return static_cast<T>(x + y);
    case HCCL_REDUCE_PROD: return static_cast<T>(x * y);
    case HCCL_REDUCE_MAX: return static_cast<T>(std::max(x, y));
    case HCCL_REDUCE_MIN: return static_cast<T>(std::min(x, y));
    default: return a;  // Reduce has refused it
  }
}

template <class T>
void ReduceAs(void* into, const void* from, std::uint64_t count, HcclReduceOp op) {
  T* target = static_cast<T*>(into);
  const T* source = static_cast<const T*>(from);
  for (std::uint64_t i = 0; i < count; ++i) target[i] = Combined(target[i], source[i], op);
}

}  // namespace

std::uint64_t BytesOf(HcclDataType type) {
  switch (type) {
    case HCCL_DATA_TYPE_INT8:
    case HCCL_DATA_TYPE_UINT8:
    case HCCL_DATA_TYPE_HIF8:
    case HCCL_DATA_TYPE_FP8E4M3:
    case HCCL_DATA_TYPE_FP8E5M2:
    case HCCL_DATA_TYPE_FP8E8M0: return 1;
    case HCCL_DATA_TYPE_INT16:
    case HCCL_DATA_TYPE_UINT16:
    case HCCL_DATA_TYPE_FP16:
    case HCCL_DATA_TYPE_BFP16: return 2;
    case HCCL_DATA_TYPE_INT32:
    case HCCL_DATA_TYPE_UINT32:
    case HCCL_DATA_TYPE_FP32: return 4;
    case HCCL_DATA_TYPE_INT64:
    case HCCL_DATA_TYPE_UINT64:
    case HCCL_DATA_TYPE_FP64: return 8;
    case HCCL_DATA_TYPE_INT128: return 16;
    default: throw Error(HCCL_E_PARA, "dataType is " + std::to_string(type) + "; expected one of HcclDataType");
  }
}

void Reduce(void* into, const void* from, std::uint64_t count, HcclDataType type, HcclReduceOp op) {
  if (op < HCCL_REDUCE_SUM || op > HCCL_REDUCE_MIN) {
    throw Error(HCCL_E_PARA, "op is " + std::to_string(op) + "; expected 0..3 (sum, prod, max, min)");
  }
  switch (type) {
    case HCCL_DATA_TYPE_INT8: return ReduceAs<std::int8_t>(into, from, count, op);
    case HCCL_DATA_TYPE_INT16: return ReduceAs<std::int16_t>(into, from, count, op);
    case HCCL_DATA_TYPE_INT32: return ReduceAs<std::int32_t>(into, from, count, op);
    case HCCL_DATA_TYPE_INT64: return ReduceAs<std::int64_t>(into, from, count, op);
    case HCCL_DATA_TYPE_UINT8: return ReduceAs<std::uint8_t>(into, from, count, op);
    case HCCL_DATA_TYPE_UINT64: return ReduceAs<std::uint64_t>(into, from, count, op);
    case HCCL_DATA_TYPE_FP16: return ReduceAs<half>(into, from, count, op);
    case HCCL_DATA_TYPE_BFP16: return ReduceAs<bfloat16_t>(into, from, count, op);
    case HCCL_DATA_TYPE_FP32: return ReduceAs<float>(into, from, count, op);
    case HCCL_DATA_TYPE_FP64: return ReduceAs<double>(into, from, count, op);
    default:
      throw Error(HCCL_E_NOT_SUPPORT,
                  "dataType " + std::to_string(type) +
                      " has no reduction; expected int8, 16, 32, 64, uint8, 64, fp16, 32, 64, bfp16");
  }
}

}  // namespace npufa_sim::hccl
