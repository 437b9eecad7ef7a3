#include "antiquant_tiling.h"

namespace npufa {

namespace {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;

// `scale`: the tensor of one operand, without the axis that holds key and value in a combined one.
AntiquantTiling Of(const TensorDesc<std::int64_t>& scale, bool has_offset, ScaleAxis axis, const Spec& spec,
                   std::int64_t channels) {
  AntiquantTiling tiling{};
  tiling.hasOffset = has_offset;
  const auto width = static_cast<std::uint64_t>(scale.Dim() > 0 ? scale.Size(-1) : 1);
  const auto heads = static_cast<std::uint64_t>(spec.kv_heads);
  switch (axis) {
    case ScaleAxis::kChannel:
      tiling.kind = SCALE_PER_CHANNEL;
      tiling.strides.head = static_cast<std::uint64_t>(channels);
      break;
    case ScaleAxis::kHead:
      tiling.kind = SCALE_ONE;
      tiling.strides.head = 1;
      break;
    case ScaleAxis::kToken:
    case ScaleAxis::kTokenPaged:
      tiling.kind = SCALE_PER_TOKEN;
      tiling.strides = {width, 0, 1};
      tiling.paged = axis == ScaleAxis::kTokenPaged;
      break;
    case ScaleAxis::kTokenHead:
    case ScaleAxis::kTokenHeadPaged:
      tiling.kind = SCALE_PER_TOKEN;
      tiling.strides = {heads * width, width, 1};
      tiling.paged = axis == ScaleAxis::kTokenHeadPaged;
      break;
    default: tiling.kind = SCALE_ONE; break;
  }
  return tiling;
}

}  // namespace

void FillAntiquant(const Call& call, const Spec& spec, AntiquantTiling& key, AntiquantTiling& value) {
  if (spec.quant.combined) {
    TensorDesc<std::int64_t> half = call.antiquant_scale;
    half.sizes.erase(half.sizes.begin());
    key = Of(half, call.antiquant_offset.defined, spec.quant.key_scale, spec, spec.head_dim);
    value = Of(half, call.antiquant_offset.defined, spec.quant.value_scale, spec, spec.value_dim);
    value.first = static_cast<std::uint64_t>(half.Numel());
    return;
  }
  key = Of(call.key_antiquant_scale, call.key_antiquant_offset.defined, spec.quant.key_scale, spec, spec.head_dim);
  value =
      Of(call.value_antiquant_scale, call.value_antiquant_offset.defined, spec.quant.value_scale, spec, spec.value_dim);
}

}  // namespace npufa
