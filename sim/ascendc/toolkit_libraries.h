// The libraries of a toolkit among the include directories: see python/npufa/sim/_toolkit.py.
#pragma once

#include <type_traits>

#include "ascendc/vector.h"

namespace AscendC {

// Forms whose address the libraries take. T is not deduced, for a call shall find the form that knows its line.
#define NPUFA_SIM_POINTER(Name)                                                                                \
  template <typename T>                                                                                        \
  void Name(const LocalTensor<std::common_type_t<T>>& dst, const LocalTensor<std::common_type_t<T>>& src0,     \
            const LocalTensor<std::common_type_t<T>>& src1, uint64_t* mask, const uint8_t repeat,              \
            const BinaryRepeatParams& params) {                                                                \
    Name(dst, src0, src1, mask, npufa_sim::RepeatTime(repeat), params);                                        \
  }                                                                                                            \
  template <typename T, bool isSetMask>                                                                        \
  void Name(const LocalTensor<std::common_type_t<T>>& dst, const LocalTensor<std::common_type_t<T>>& src0,     \
            const LocalTensor<std::common_type_t<T>>& src1, uint64_t mask, const uint8_t repeat,               \
            const BinaryRepeatParams& params) {                                                                \
    Name<T, isSetMask>(dst, src0, src1, mask, npufa_sim::RepeatTime(repeat), params, npufa_sim::Site::Here()); \
  }
NPUFA_SIM_POINTER(Add)
NPUFA_SIM_POINTER(Sub)
NPUFA_SIM_POINTER(Mul)
NPUFA_SIM_POINTER(Div)
NPUFA_SIM_POINTER(Max)
NPUFA_SIM_POINTER(Min)
#undef NPUFA_SIM_POINTER

#define NPUFA_SIM_POINTER(Name)                                                                           \
  template <typename T>                                                                                   \
  void Name(const LocalTensor<std::common_type_t<T>>& dst, const LocalTensor<std::common_type_t<T>>& src, \
            uint64_t* mask, const uint8_t repeat, const UnaryRepeatParams& params) {                      \
    Name(dst, src, mask, npufa_sim::RepeatTime(repeat), params);                                          \
  }
NPUFA_SIM_POINTER(Exp)
NPUFA_SIM_POINTER(Ln)
#undef NPUFA_SIM_POINTER

}  // namespace AscendC

#ifdef NPUFA_SIM_TOOLKIT_STRUCTS_0
#include NPUFA_SIM_TOOLKIT_STRUCTS_0
#endif
#ifdef NPUFA_SIM_TOOLKIT_STRUCTS_1
#include NPUFA_SIM_TOOLKIT_STRUCTS_1
#endif
#ifdef NPUFA_SIM_TOOLKIT_API
#include NPUFA_SIM_TOOLKIT_API
#endif
