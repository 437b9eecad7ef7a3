// The string that crosses library boundaries.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <string>

#include "graph/types.h"

namespace ge {

class AscendString {
 public:
  AscendString() = default;
  AscendString(const char_t* name) : text_(name == nullptr ? "" : name) {}
  AscendString(const char_t* name, std::size_t length) : text_(name == nullptr ? "" : std::string(name, length)) {}

  const char_t* GetString() const { return text_.c_str(); }
  std::size_t GetLength() const { return text_.size(); }
  std::size_t Find(const AscendString& other) const { return text_.find(other.text_); }
  std::size_t Hash() const { return std::hash<std::string>()(text_); }

  bool operator<(const AscendString& other) const { return text_ < other.text_; }
  bool operator>(const AscendString& other) const { return text_ > other.text_; }
  bool operator<=(const AscendString& other) const { return text_ <= other.text_; }
  bool operator>=(const AscendString& other) const { return text_ >= other.text_; }
  bool operator==(const AscendString& other) const { return text_ == other.text_; }
  bool operator!=(const AscendString& other) const { return text_ != other.text_; }
  bool operator==(const char_t* other) const { return other != nullptr && text_ == other; }
  bool operator!=(const char_t* other) const { return !(*this == other); }

 private:
  std::string text_;
};

}  // namespace ge

template <>
struct std::hash<ge::AscendString> {
  std::size_t operator()(const ge::AscendString& text) const { return text.Hash(); }
};
