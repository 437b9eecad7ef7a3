// Element types of aclTensor as host types.
#pragma once

#include <complex>
#include <cstdint>

#include "acl/acl_base.h"
#include "ascendc/dtypes.h"

namespace npufa_sim {

// Calls visit(T()) with the host type of dtype; false when there is none.
template <class Visit>
bool VisitElementType(aclDataType dtype, Visit visit) {
  switch (dtype) {
#define NPUFA_SIM_ELEMENT(name, type) \
  case name: visit(type()); return true
    NPUFA_SIM_ELEMENT(ACL_FLOAT, float);
    NPUFA_SIM_ELEMENT(ACL_FLOAT16, half);
    NPUFA_SIM_ELEMENT(ACL_BF16, bfloat16_t);
    NPUFA_SIM_ELEMENT(ACL_DOUBLE, double);
    NPUFA_SIM_ELEMENT(ACL_INT8, std::int8_t);
    NPUFA_SIM_ELEMENT(ACL_UINT8, std::uint8_t);
    NPUFA_SIM_ELEMENT(ACL_INT16, std::int16_t);
    NPUFA_SIM_ELEMENT(ACL_UINT16, std::uint16_t);
    NPUFA_SIM_ELEMENT(ACL_INT32, std::int32_t);
    NPUFA_SIM_ELEMENT(ACL_UINT32, std::uint32_t);
    NPUFA_SIM_ELEMENT(ACL_INT64, std::int64_t);
    NPUFA_SIM_ELEMENT(ACL_UINT64, std::uint64_t);
    NPUFA_SIM_ELEMENT(ACL_BOOL, bool);
    NPUFA_SIM_ELEMENT(ACL_COMPLEX64, std::complex<float>);
    NPUFA_SIM_ELEMENT(ACL_COMPLEX128, std::complex<double>);
#undef NPUFA_SIM_ELEMENT
    default: return false;
  }
}

template <class T>
struct IsComplex : std::false_type {};
template <class T>
struct IsComplex<std::complex<T>> : std::true_type {};

// Converts as torch does: through float for 16-bit floats, real part of complex numbers, everything but 0 is true.
template <class To, class From>
To ConvertElement(From value) {
  constexpr bool from_short_float = std::is_same_v<From, half> || std::is_same_v<From, bfloat16_t>;
  constexpr bool to_short_float = std::is_same_v<To, half> || std::is_same_v<To, bfloat16_t>;
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (from_short_float) {
    return ConvertElement<To>(static_cast<float>(value));
  } else if constexpr (IsComplex<From>::value && IsComplex<To>::value) {
    return To(static_cast<typename To::value_type>(value.real()), static_cast<typename To::value_type>(value.imag()));
  } else if constexpr (IsComplex<From>::value) {
    if constexpr (std::is_same_v<To, bool>) return value != From();
    else return ConvertElement<To>(value.real());
  } else if constexpr (IsComplex<To>::value) {
    return To(static_cast<typename To::value_type>(value));
  } else if constexpr (to_short_float) {
    return To(static_cast<float>(value));
  } else if constexpr (std::is_integral_v<To> && !std::is_same_v<To, bool> && std::is_floating_point_v<From>) {
    // By way of a 64-bit integer, so that small types wrap around as on the CPU.
    return static_cast<To>(static_cast<std::int64_t>(value));
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace npufa_sim
