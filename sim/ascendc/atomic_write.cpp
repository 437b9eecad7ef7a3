#include "atomic_write.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>

#include "chip/core_api.h"

namespace npufa_sim {
namespace {

// Cores of different groups run on different host threads.
std::mutex combine_mutex;

std::optional<AtomicType> AtomicTypeOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat: return AtomicType::kFloat;
    case Dtype::kHalf: return AtomicType::kHalf;
    case Dtype::kBfloat16: return AtomicType::kBfloat16;
    case Dtype::kInt32: return AtomicType::kInt32;
    case Dtype::kInt16: return AtomicType::kInt16;
    case Dtype::kInt8: return AtomicType::kInt8;
    default: return std::nullopt;
  }
}

// T computes in Wide: half and bfloat16_t in float with one rounding, integers without overflow into saturation.
template <class T, class Wide>
void Combine(AtomicKind kind, std::uint8_t* dst, const std::uint8_t* src, std::int64_t bytes) {
  for (std::int64_t at = 0; at < bytes; at += sizeof(T)) {
    T old, added;
    std::memcpy(&old, dst + at, sizeof(T));
    std::memcpy(&added, src + at, sizeof(T));
    const Wide a = static_cast<Wide>(old), b = static_cast<Wide>(added);
    Wide value = kind == AtomicKind::kAdd ? a + b : kind == AtomicKind::kMax ? std::max(a, b) : std::min(a, b);
    if constexpr (std::is_integral_v<T>) {
      value = std::clamp<Wide>(value, std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
    }
    const T result = static_cast<T>(value);
    std::memcpy(dst + at, &result, sizeof(T));
  }
}

}  // namespace

GmWriter::GmWriter(Instruction& ins, const TensorRef& dst, Dtype dtype)
    : ins_(ins), dst_(dst), atomic_(dst.space == Space::kGM && CurrentAtomic().kind != AtomicKind::kNone) {
  if (!atomic_ || AtomicTypeOf(dtype) == CurrentAtomic().type) return;
  const std::string message = std::string("the atomic operation set on this core is not for ") + NameOf(dtype);
  Fault("parameter", ins.site(), ins.name(), message.c_str(),
        "set the operation for the type of the data, or SetAtomicNone before plain writes");
}

GmWriter& GmWriter::Operand(const Extent& extent, std::uint32_t align) {
  OperandRule rule{align};
  rule.atomic = atomic_;
  if (atomic_) ins_.Read(dst_, extent, rule);
  ins_.Write(dst_, extent, rule);
  return *this;
}

void GmWriter::Store(std::uint8_t* dst, const std::uint8_t* src, std::int64_t bytes) const {
  if (!atomic_) {
    std::memcpy(dst, src, bytes);
    return;
  }
  const AtomicMode mode = CurrentAtomic();
  const std::lock_guard lock(combine_mutex);
  switch (mode.type) {
    case AtomicType::kFloat: return Combine<float, float>(mode.kind, dst, src, bytes);
    case AtomicType::kHalf: return Combine<half, float>(mode.kind, dst, src, bytes);
    case AtomicType::kBfloat16: return Combine<bfloat16_t, float>(mode.kind, dst, src, bytes);
    case AtomicType::kInt32: return Combine<std::int32_t, std::int64_t>(mode.kind, dst, src, bytes);
    case AtomicType::kInt16: return Combine<std::int16_t, std::int32_t>(mode.kind, dst, src, bytes);
    case AtomicType::kInt8: return Combine<std::int8_t, std::int32_t>(mode.kind, dst, src, bytes);
  }
}

}  // namespace npufa_sim
