// Numbers, objects and arrays as JSON text.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

#include "json_text.h"

namespace npufa_sim {

inline std::string JsonNumber(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return {text, end};
}

// Members of an object or elements of an array, with the commas between them.
class JsonList {
 public:
  JsonList(char open, char close) : text_(1, open), close_(close) {}

  JsonList& Add(std::string_view value) {
    if (text_.size() > 1) text_ += ',';
    text_ += value;
    return *this;
  }
  JsonList& Member(std::string_view name, std::string_view json) {
    return Add(JsonString(name) + ':' + std::string(json));
  }
  JsonList& Member(std::string_view name, double value) { return Member(name, std::string_view(JsonNumber(value))); }
  std::string Text() const { return text_ + close_; }

 private:
  std::string text_;
  char close_;
};

}  // namespace npufa_sim
