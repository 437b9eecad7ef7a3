#include "data_types.h"

#include <algorithm>
#include <iterator>

namespace npufa_sim {

namespace {

struct TypeRow {
  ge::DataType type;
  const char* name;
  int size;  // bytes, or kDataTypeSizeBitOffset + bits
};

constexpr TypeRow kTypes[] = {
    {ge::DT_FLOAT, "DT_FLOAT", 4},
    {ge::DT_FLOAT16, "DT_FLOAT16", 2},
    {ge::DT_INT8, "DT_INT8", 1},
    {ge::DT_INT32, "DT_INT32", 4},
    {ge::DT_UINT8, "DT_UINT8", 1},
    {ge::DT_INT16, "DT_INT16", 2},
    {ge::DT_UINT16, "DT_UINT16", 2},
    {ge::DT_UINT32, "DT_UINT32", 4},
    {ge::DT_INT64, "DT_INT64", 8},
    {ge::DT_UINT64, "DT_UINT64", 8},
    {ge::DT_DOUBLE, "DT_DOUBLE", 8},
    {ge::DT_BOOL, "DT_BOOL", 1},
    {ge::DT_COMPLEX64, "DT_COMPLEX64", 8},
    {ge::DT_COMPLEX128, "DT_COMPLEX128", 16},
    {ge::DT_BF16, "DT_BF16", 2},
    {ge::DT_INT4, "DT_INT4", ge::kDataTypeSizeBitOffset + 4},
    {ge::DT_UINT1, "DT_UINT1", ge::kDataTypeSizeBitOffset + 1},
    {ge::DT_COMPLEX32, "DT_COMPLEX32", 4},
    {ge::DT_HIFLOAT8, "DT_HIFLOAT8", 1},
    {ge::DT_FLOAT8_E5M2, "DT_FLOAT8_E5M2", 1},
    {ge::DT_FLOAT8_E4M3FN, "DT_FLOAT8_E4M3FN", 1},
    {ge::DT_FLOAT8_E8M0, "DT_FLOAT8_E8M0", 1},
};

struct FormatRow {
  ge::Format format;
  const char* name;
  bool plain;
};

constexpr FormatRow kFormats[] = {
    {ge::FORMAT_NCHW, "FORMAT_NCHW", true},
    {ge::FORMAT_NHWC, "FORMAT_NHWC", true},
    {ge::FORMAT_ND, "FORMAT_ND", true},
    {ge::FORMAT_NC1HWC0, "FORMAT_NC1HWC0", false},
    {ge::FORMAT_FRACTAL_Z, "FORMAT_FRACTAL_Z", false},
    {ge::FORMAT_CHWN, "FORMAT_CHWN", true},
    {ge::FORMAT_HWCN, "FORMAT_HWCN", true},
    {ge::FORMAT_NDHWC, "FORMAT_NDHWC", true},
    {ge::FORMAT_FRACTAL_NZ, "FORMAT_FRACTAL_NZ", false},
    {ge::FORMAT_NCDHW, "FORMAT_NCDHW", true},
    {ge::FORMAT_DHWCN, "FORMAT_DHWCN", true},
    {ge::FORMAT_CN, "FORMAT_CN", true},
    {ge::FORMAT_NC, "FORMAT_NC", true},
    {ge::FORMAT_NCL, "FORMAT_NCL", true},
};

const TypeRow* Find(ge::DataType type) {
  const auto* row =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeRow& r) { return r.type == type; });
  return row == std::end(kTypes) ? nullptr : row;
}

const FormatRow* Find(ge::Format format) {
  const auto* row =
      std::find_if(std::begin(kFormats), std::end(kFormats), [&](const FormatRow& r) { return r.format == format; });
  return row == std::end(kFormats) ? nullptr : row;
}

}  // namespace

std::string NameOf(ge::DataType data_type) {
  const TypeRow* row = Find(data_type);
  return row != nullptr ? row->name : "DataType " + std::to_string(static_cast<int>(data_type));
}

std::string NameOf(ge::Format format) {
  const FormatRow* row = Find(format);
  return row != nullptr ? row->name : "Format " + std::to_string(static_cast<int>(format));
}

bool IsPlain(ge::Format format) {
  const FormatRow* row = Find(format);
  return row != nullptr && row->plain;
}

}  // namespace npufa_sim

namespace ge {

int GetSizeByDataType(DataType data_type) {
  const npufa_sim::TypeRow* row = npufa_sim::Find(data_type);
  return row != nullptr ? row->size : -1;
}

std::int64_t GetSizeInBytes(std::int64_t element_count, DataType data_type) {
  const std::int64_t size = GetSizeByDataType(data_type);
  std::int64_t total = 0;
  if (element_count < 0 || size < 0) return -1;
  if (size > kDataTypeSizeBitOffset) {
    if (__builtin_mul_overflow(element_count, size - kDataTypeSizeBitOffset, &total)) return -1;
    return total / 8 + (total % 8 != 0);
  }
  return __builtin_mul_overflow(element_count, size, &total) ? -1 : total;
}

}  // namespace ge
