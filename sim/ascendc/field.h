#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace npufa_sim {

// An unsigned instruction field of the width of T that keeps what the kernel passed, so that a value that does not fit
// is reported where the hardware would silently drop its upper bits.
template <class T>
class Field {
 public:
  static constexpr std::int64_t kMax = std::numeric_limits<T>::max();

  constexpr Field() = default;
  template <class Value, class = std::enable_if_t<std::is_arithmetic_v<Value> || std::is_enum_v<Value>>>
  constexpr Field(Value value) : value_(static_cast<std::int64_t>(value)) {}
  template <class Other>
  constexpr Field(const Field<Other>& other) : value_(other.value()) {}
  constexpr operator T() const { return static_cast<T>(value_); }
  constexpr std::int64_t value() const { return value_; }

 private:
  std::int64_t value_ = 0;
};

}  // namespace npufa_sim
