// The attributes of NpufaDropoutMask by their position in its definition.
#pragma once

#include "../attention_context.h"

namespace npufa {

inline constexpr const char* kDropoutMaskOp = "dropout_mask";
inline constexpr std::int64_t kDropoutWords = std::int64_t{1} << 32;

enum DropoutMaskAttr : std::size_t { kDropoutElements, kDropoutSeed, kDropoutOffset, kDropoutThreshold };

struct DropoutMaskCall {
  std::int64_t elements;
  std::uint64_t seed;
  std::uint64_t offset;     // first counter
  std::int64_t threshold;  // an element is kept if its word is below this
};

template <class Context>
DropoutMaskCall ReadDropoutMaskCall(const Context& context) {
  const ContextReader reader(context, kDropoutMaskOp);
  const DropoutMaskCall call{reader.Integer(kDropoutElements, "elements"),
                             static_cast<std::uint64_t>(reader.Integer(kDropoutSeed, "seed")),
                             static_cast<std::uint64_t>(reader.Integer(kDropoutOffset, "offset")),
                             reader.Integer(kDropoutThreshold, "threshold")};
  if (call.elements < 0) Fail(kDropoutMaskOp, "elements", "is negative", call.elements, "a number of elements");
  if (call.threshold < 1 || call.threshold > kDropoutWords) {
    Fail(kDropoutMaskOp, "threshold", "is out of range", call.threshold, "keep_prob * 2^32 in 1..2^32");
  }
  return call;
}

}  // namespace npufa
