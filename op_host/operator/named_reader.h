// The arguments of a call of CANN by the names in the table of its operator.
#pragma once

#include <cstring>

#include "attention_context.h"

namespace npufa {

// Context: InferShapeContext or TilingContext. Parts has `op`, and `inputs` and `attributes` with names.
template <class Context, class Parts>
class NamedReader {
 public:
  NamedReader(const Context& context, const Parts& parts) : parts_(parts), reader_(context, parts.op) {}

  const char* Op() const { return parts_.op; }
  bool Has(const char* name) const { return Find(parts_.inputs, name) >= 0 || Find(parts_.attributes, name) >= 0; }

  template <class Int>
  TensorDesc<Int> Desc(const char* name) const {
    const int index = Find(parts_.inputs, name);
    return index < 0 ? TensorDesc<Int>{} : reader_.Tensor(static_cast<std::size_t>(index));
  }
  // The tensors of a dynamic input.
  template <class Int>
  std::vector<TensorDesc<Int>> Descs(const char* name) const {
    return reader_.Tensors(static_cast<std::size_t>(Find(parts_.inputs, name)));
  }
  template <class Int>
  OptionalList<Int> List(const char* name) const {
    const int index = Find(parts_.inputs, name);
    return index < 0 ? OptionalList<Int>{} : reader_.List(static_cast<std::size_t>(index));
  }
  std::int64_t Integer(const char* name, std::int64_t missing = 0) const {
    const int index = Find(parts_.attributes, name);
    return index < 0 ? missing : reader_.Integer(static_cast<std::size_t>(index), name);
  }
  float Number(const char* name, float missing = 1.0f) const {
    const int index = Find(parts_.attributes, name);
    return index < 0 ? missing : reader_.Number(static_cast<std::size_t>(index), name);
  }
  bool Flag(const char* name) const {
    const int index = Find(parts_.attributes, name);
    return index >= 0 && reader_.Flag(static_cast<std::size_t>(index), name);
  }
  std::string Text(const char* name) const {
    return reader_.Text(static_cast<std::size_t>(Find(parts_.attributes, name)), name);
  }

 protected:
  const Parts& parts_;

 private:
  template <class Entries>
  static int Find(const Entries& entries, const char* name) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (std::strcmp(entries[i].name, name) == 0) return static_cast<int>(i);
    }
    return -1;
  }

  ContextReader<Context> reader_;
};

}  // namespace npufa
