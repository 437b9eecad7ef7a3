#include "../common/rotary.h"

#include "../../op_kernel/tiling/rotary_tiling.h"
#include "../operator/plain_operator.h"

namespace npufa {

namespace {

const PlainOperator& RotaryMul() {
  static const Types types{ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT};
  static const PlainOperator parts{"npu_rotary_mul",
                                   {{"input", types}, {"r1", types}, {"r2", types}},
                                   {{"rotary_mode", "half"}, {"transposed", false}},
                                   {{"output", "input"}}};
  return parts;
}

// Axes of the rows, where neighbours that the cosines see as one are one.
void SetAxes(const RotaryCall<std::int64_t>& call, RotaryTiling* tiling) {
  struct Axis {
    std::int64_t size, stride;
  };
  std::vector<Axis> axes;  // from the last to the first
  std::int64_t stride = 1;
  for (std::int64_t axis = call.input.Dim() - 2; axis >= 0; --axis) {
    const std::int64_t size = call.input.Size(axis), angles = call.cosines.Size(axis);
    const Axis next{size, angles == size ? stride : 0};
    stride *= angles;
    if (size == 1) continue;
    const bool joins = !axes.empty() && next.stride == axes.back().stride * axes.back().size;
    if (joins) {
      axes.back().size *= size;
    } else {
      axes.push_back(next);
    }
  }
  for (std::size_t i = 0; i < ROTARY_AXES; ++i) {
    const std::size_t from_last = ROTARY_AXES - 1 - i;
    const Axis axis = from_last < axes.size() ? axes[from_last] : Axis{1, 0};
    tiling->size[i] = static_cast<std::uint64_t>(axis.size);
    tiling->stride[i] = static_cast<std::uint64_t>(axis.stride);
  }
}

void Tile(const PlainReader<gert::TilingContext>& reader, gert::TilingContext& context) {
  constexpr std::int64_t kWord = 64;
  const auto call = ReadRotaryMul<std::int64_t>(reader);
  auto& tiling = TilingData<RotaryTiling>(context);
  const std::int64_t columns = call.input.Size(-1), pitch = (columns + kWord - 1) / kWord * kWord;
  SetAxes(call, &tiling);
  tiling.columns = static_cast<std::uint32_t>(columns);
  tiling.mode = call.mode == "half" ? ROTARY_HALF : call.mode == "interleave" ? ROTARY_INTERLEAVE : ROTARY_DEINTERLEAVE;
  tiling.transposed = call.transposed ? 1 : 0;
  const std::uint64_t inner = tiling.size[ROTARY_AXES - 1];
  tiling.tileRows = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(inner, 1, ROTARY_FLOATS / pitch));
  const std::uint64_t runs = tiling.size[0] * tiling.size[1];
  ChooseType(context, call.input.dtype);
  LaunchOnVectors(context, static_cast<std::int64_t>(runs * ((inner + tiling.tileRows - 1) / tiling.tileRows)));
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaRotaryMul : public OpDef {
 public:
  explicit NpufaRotaryMul(const char* name) : OpDef(name) { npufa::DefinePlain<npufa::RotaryMul, npufa::Tile>(this); }
};

OP_ADD(NpufaRotaryMul);

}  // namespace ops
