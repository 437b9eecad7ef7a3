// Argument checks with the message form of SPEC section 10, over plain integers or symbolic ones.
//
// Everything that validates an attention call is a template on the integer type `Int`: std::int64_t in tiling and in
// kernels, a symbolic integer in shape functions. A symbolic comparison may be undecided while a graph is traced, so
// rules ask `Known...`: true only when the relation certainly holds. A rule is broken only if it is known to be broken.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace npufa {

template <class Int>
struct Known {
  static bool Eq(const Int& a, const Int& b) { return a == b; }
  static bool Ne(const Int& a, const Int& b) { return a != b; }
  static bool Lt(const Int& a, const Int& b) { return a < b; }
};

template <class Int>
bool KnownEq(const Int& a, const Int& b) {
  return Known<Int>::Eq(a, b);
}
template <class Int>
bool KnownNe(const Int& a, const Int& b) {
  return Known<Int>::Ne(a, b);
}
template <class Int>
bool KnownLt(const Int& a, const Int& b) {
  return Known<Int>::Lt(a, b);
}

class ArgumentError : public std::runtime_error {
 public:
  // `fault`: what is wrong, what was given and what is expected.
  ArgumentError(const std::string& op, const std::string& argument, const std::string& fault)
      : std::runtime_error("npufa::" + op + ": " + argument + ' ' + fault), op_(op), argument_(argument),
        fault_(fault) {}

  const std::string& Argument() const { return argument_; }
  // The same fault of an argument that the caller knows by another name.
  ArgumentError Renamed(const std::string& argument) const { return {op_, argument, fault_}; }

 private:
  std::string op_, argument_, fault_;
};

template <class Int>
std::string Show(const std::vector<Int>& values) {
  std::ostringstream text;
  text << '[';
  for (std::size_t i = 0; i < values.size(); ++i) text << (i ? ", " : "") << values[i];
  text << ']';
  return text.str();
}

inline std::string Show(const std::string& value) { return "\"" + value + "\""; }
inline std::string Show(const char* value) { return value; }

template <class T>
std::string Show(const T& value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

template <class Got, class Expected>
[[noreturn]] void Fail(const char* op, const std::string& argument, const std::string& what, const Got& got,
                       const Expected& expected) {
  std::ostringstream fault;
  fault << what << ", got " << Show(got) << "; expected " << expected;
  throw ArgumentError(op, argument, fault.str());
}

}  // namespace npufa
