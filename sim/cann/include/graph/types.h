// Element types and formats of the graph engine. Values are the interface of CANN 8; aclDataType and aclFormat use the
// same ones.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace ge {

using char_t = char;
using float32_t = float;
using float64_t = double;

enum DataType {
  DT_FLOAT = 0,
  DT_FLOAT16 = 1,
  DT_INT8 = 2,
  DT_INT32 = 3,
  DT_UINT8 = 4,
  DT_INT16 = 6,
  DT_UINT16 = 7,
  DT_UINT32 = 8,
  DT_INT64 = 9,
  DT_UINT64 = 10,
  DT_DOUBLE = 11,
  DT_BOOL = 12,
  DT_STRING = 13,
  DT_COMPLEX64 = 16,
  DT_COMPLEX128 = 17,
  DT_BF16 = 27,
  DT_UNDEFINED = 28,
  DT_INT4 = 29,
  DT_UINT1 = 30,
  DT_COMPLEX32 = 33,
  DT_HIFLOAT8 = 34,
  DT_FLOAT8_E5M2 = 35,
  DT_FLOAT8_E4M3FN = 36,
  DT_FLOAT8_E8M0 = 37,
  DT_MAX = 42,
};

enum Format {
  FORMAT_NCHW = 0,
  FORMAT_NHWC = 1,
  FORMAT_ND = 2,
  FORMAT_NC1HWC0 = 3,
  FORMAT_FRACTAL_Z = 4,
  FORMAT_CHWN = 14,
  FORMAT_HWCN = 16,
  FORMAT_NDHWC = 27,
  FORMAT_FRACTAL_NZ = 29,
  FORMAT_NCDHW = 30,
  FORMAT_DHWCN = 31,
  FORMAT_CN = 34,
  FORMAT_NC = 35,
  FORMAT_RESERVED = 40,
  FORMAT_NULL = 42,
  FORMAT_NCL = 47,
  FORMAT_MAX = 0xff,
};

// Types narrower than a byte report this plus their width in bits.
static constexpr std::int32_t kDataTypeSizeBitOffset = 1000;

// Bytes of one element; -1 where the type has no fixed size.
int GetSizeByDataType(DataType data_type);
// Bytes of a tensor; -1 for a negative count or a type without a fixed size.
std::int64_t GetSizeInBytes(std::int64_t element_count, DataType data_type);

}  // namespace ge
