// Data movement behind the DataCopy templates: element types and paths as values.
#pragma once

#include <cstdint>

#include "chip/core_api.h"
#include "chip/instruction.h"
#include "data_copy_params.h"
#include "dtypes.h"

namespace npufa_sim {

// Bytes of an element; a pair of int4b_t counts as one.
constexpr std::int64_t SizeOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kInt8:
    case Dtype::kUint8:
    case Dtype::kInt4:
    case Dtype::kBool: return 1;
    case Dtype::kHalf:
    case Dtype::kBfloat16:
    case Dtype::kInt16:
    case Dtype::kUint16: return 2;
    case Dtype::kInt64:
    case Dtype::kUint64: return 8;
    default: return 4;
  }
}

// The value of a field, or a parameter fault.
template <class T>
std::int64_t Checked(Instruction& ins, const char* name, const Field<T>& field, std::int64_t first, std::int64_t last,
                     const char* expected) {
  ins.Require(field.value() >= first && field.value() <= last, name, field.value(), expected);
  return field.value();
}

// A core without the memory takes the statement for a no-op, as the toolkit's headers do for cores of the other kind.
inline bool CoreHas(Space space) { return SpaceBytes(space) != 0; }

// `bias_to_float`: from half in L1 to float in the bias table.
void CopyBlocks(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::DataCopyParams& params,
                bool bias_to_float, Site site);
void CopyElements(const TensorRef& dst, const TensorRef& src, Dtype dtype, std::uint32_t count, Site site);
void CopyNdToNz(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::Nd2NzParams& params, Site site);
void CopyNzToNd(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::Nz2NdParamsFull& params,
                Site site);

// From the older parameters, whose fields hold 16 bits.
AscendC::DataCopyExtParams ExtParamsOf(const AscendC::DataCopyParams& params, Site site);

struct Padding {
  bool given = false;                // `value` goes to the register first
  std::int64_t left = 0, right = 0;  // elements
  std::uint64_t value = 0;           // bits of one element
};
void CopyPadToUb(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::DataCopyExtParams& params,
                 const Padding& padding, Site site);
void CopyPadToGm(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::DataCopyExtParams& params,
                 Site site);
void SetPadRegister(std::uint64_t value);

[[noreturn]] inline void Unsupported(Site site, const char* instruction, const char* what) {
  Fault("unsupported", site, instruction, what, "use a form that this chip has and the simulator models");
}

}  // namespace npufa_sim
