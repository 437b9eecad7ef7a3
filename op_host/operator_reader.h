// Arguments of a call of CANN by name, as read_call.h wants them.
#pragma once

#include <cstring>

#include "attention_context.h"
#include "common/read_call.h"
#include "operator_parts.h"

namespace npufa {

// Context: InferShapeContext or TilingContext.
template <class Context>
class OperatorReader {
 public:
  OperatorReader(const Context& context, const OperatorParts& parts) : parts_(parts), reader_(context, parts.op) {}

  const char* Op() const { return parts_.op; }
  bool Has(const char* name) const { return Find(parts_.inputs, name) >= 0 || Find(parts_.attributes, name) >= 0; }

  template <class Int>
  TensorDesc<Int> Desc(const char* name) const {
    const int index = Find(parts_.inputs, name);
    return index < 0 ? TensorDesc<Int>{} : reader_.Tensor(static_cast<std::size_t>(index));
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

  // Tiling runs with all values at hand; a list that is given but cannot be read must not pass for one that is not.
  void RequireReadableLists() const {
    for (const InputPart& part : parts_.inputs) {
      if (part.role != Role::kList || !Desc<std::int64_t>(part.name)) continue;
      if (List<std::int64_t>(part.name)) continue;
      Fail(Op(), part.name, "has no values on the host", "a device tensor", "values known before the launch");
    }
  }

 private:
  template <class Parts>
  static int Find(const Parts& parts, const char* name) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (std::strcmp(parts[i].name, name) == 0) return static_cast<int>(i);
    }
    return -1;
  }

  const OperatorParts& parts_;
  ContextReader<Context> reader_;
};

// Lengths that only the device knows have an input of their own beside the list. Packed ones are cumulative, as all of
// CANN's are: torch's operators hand on no others.
template <class Context>
AttentionCall<std::int64_t> ReadCall(const OperatorReader<Context>& reader, OpKind kind) {
  using Int = std::int64_t;
  AttentionCall<Int> call =
      kind == OpKind::kFusion ? ReadFusionCall<Int>(reader) : ReadInferenceCall<Int>(reader, kind);
  const auto on_device = [&](const char* list) {
    return reader.template Desc<Int>((std::string(list) + "_tensor").c_str());
  };
  call.kv_lens = reader.template List<Int>(call.names.kv_lens);
  call.kv_lens_tensor = on_device(call.names.kv_lens);
  call.q_lens_cumulative = call.kv_lens_cumulative = true;
  call.batch_invariant = reader.Flag("batch_invariant");
  if (kind == OpKind::kIncre) return call;
  call.q_lens = reader.template List<Int>(call.names.q_lens);
  call.q_lens_tensor = on_device(call.names.q_lens);
  return call;
}

}  // namespace npufa
