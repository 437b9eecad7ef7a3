// The arguments of NpufaDropoutMask by their position in its definition.
#pragma once

#include <optional>

#include "../operator/attention_context.h"

namespace npufa {

inline constexpr const char* kDropoutMaskOp = "dropout_mask";
inline constexpr std::int64_t kDropoutWords = std::int64_t{1} << 32;

enum DropoutMaskInput : std::size_t { kDropoutElementsSeedOffset, kDropoutSeed, kDropoutOffset };
enum DropoutMaskAttr : std::size_t { kDropoutThreshold };

struct DropoutMaskCall {
  std::int64_t elements;
  std::uint64_t seed;
  std::uint64_t offset;    // first counter
  std::int64_t threshold;  // an element is kept if its word is below this
  bool seed_on_device;     // seed and offset are inputs that the kernel reads
};

// Nothing while a graph is compiled that makes the three numbers when it runs.
template <class Context>
std::optional<DropoutMaskCall> ReadDropoutMaskCall(const Context& context) {
  const ContextReader reader(context, kDropoutMaskOp);
  const OptionalList<std::int64_t> numbers = reader.List(kDropoutElementsSeedOffset);
  if (!numbers) return {};
  if (numbers->size() != 3) {
    Fail(kDropoutMaskOp, "elements_seed_offset", "has the wrong number of entries", numbers->size(), "3");
  }
  const DropoutMaskCall call{(*numbers)[0], static_cast<std::uint64_t>((*numbers)[1]),
                             static_cast<std::uint64_t>((*numbers)[2]), reader.Integer(kDropoutThreshold, "threshold"),
                             bool{reader.Tensor(kDropoutSeed)}};
  if (call.seed_on_device != bool{reader.Tensor(kDropoutOffset)}) {
    Fail(kDropoutMaskOp, "offset", "does not go with seed", "one of them", "both or neither");
  }
  if (call.elements < 0) Fail(kDropoutMaskOp, "elements", "is negative", call.elements, "a number of elements");
  if (call.threshold < 1 || call.threshold > kDropoutWords) {
    Fail(kDropoutMaskOp, "threshold", "is out of range", call.threshold, "keep_prob * 2^32 in 1..2^32");
  }
  return call;
}

}  // namespace npufa
