// Arguments of an attention call of CANN by name, as read_call.h wants them.
#pragma once

#include "../common/read_call.h"
#include "../operator/named_reader.h"
#include "../operator/operator_parts.h"

namespace npufa {

// Context: InferShapeContext or TilingContext.
template <class Context>
class OperatorReader : public NamedReader<Context, OperatorParts> {
 public:
  using NamedReader<Context, OperatorParts>::NamedReader;

  // Tiling runs with all values at hand; a list that is given but cannot be read must not pass for one that is not.
  void RequireReadableLists() const {
    for (const InputPart& part : this->parts_.inputs) {
      if (part.role != Role::kList || !this->template Desc<std::int64_t>(part.name)) continue;
      if (this->template List<std::int64_t>(part.name)) continue;
      Fail(this->Op(), part.name, "has no values on the host", "a device tensor", "values known before the launch");
    }
  }
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
