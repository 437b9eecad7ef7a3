// Attribute values of a call, in the order in which the operator declares them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "exe_graph/runtime/continuous_vector.h"

namespace gert {

class RuntimeAttrs {
 public:
  using Value = std::variant<bool, float, std::int64_t, std::string, TypedContinuousVector<bool>,
                             TypedContinuousVector<float>, TypedContinuousVector<std::int64_t>>;

  explicit RuntimeAttrs(std::vector<Value> values) : values_(std::move(values)) {}

  std::size_t GetAttrNum() const { return values_.size(); }

  // nullptr where there is no such attribute or it has another type. char stands for a string.
  template <class T>
  const T* GetAttrPointer(std::size_t index) const {
    if (index >= values_.size()) return nullptr;
    if constexpr (std::is_same_v<T, char>) {
      const std::string* text = std::get_if<std::string>(&values_[index]);
      return text == nullptr ? nullptr : text->c_str();
    } else {
      return std::get_if<T>(&values_[index]);
    }
  }
  const bool* GetBool(std::size_t index) const { return GetAttrPointer<bool>(index); }
  const float* GetFloat(std::size_t index) const { return GetAttrPointer<float>(index); }
  const std::int64_t* GetInt(std::size_t index) const { return GetAttrPointer<std::int64_t>(index); }
  const char* GetStr(std::size_t index) const { return GetAttrPointer<char>(index); }
  const TypedContinuousVector<float>* GetListFloat(std::size_t index) const {
    return GetAttrPointer<TypedContinuousVector<float>>(index);
  }
  const TypedContinuousVector<std::int64_t>* GetListInt(std::size_t index) const {
    return GetAttrPointer<TypedContinuousVector<std::int64_t>>(index);
  }

 private:
  std::vector<Value> values_;
};

}  // namespace gert
