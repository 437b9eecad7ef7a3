#include "attention_operator.h"

#include <algorithm>
#include <cstring>

#include "../common/describe.h"
#include "../operator/launch.h"
#include "backward_tiling.h"
#include "forward_tiling.h"
#include "operator_reader.h"

namespace npufa {

namespace {

using Call = AttentionCall<std::int64_t>;
using Spec = AttentionSpec<std::int64_t>;
using Sizes = std::vector<std::int64_t>;

constexpr std::int64_t kUnknownSize = -1;
constexpr std::uint32_t kVectorsPerCube = 2;
constexpr std::uint32_t kStartTogether = 1;  // no block waits for another to end

bool HasUnknownSize(const Call& call) {
  for (const auto* tensor : {&call.query, &call.key, &call.value}) {
    const Sizes& sizes = tensor->sizes;
    if (std::any_of(sizes.begin(), sizes.end(), [](std::int64_t size) { return size < 0; })) return true;
  }
  return false;
}

bool Named(const OutputPart& part, const char* name) { return std::strcmp(part.name, name) == 0; }

Sizes OutputSizes(const OutputPart& part, const Call& call, const Spec& spec) {
  if (Named(part, "attention_out")) return spec.OutputSizes();
  if (!Named(part, "softmax_lse")) return spec.StatisticsSizes();
  if (call.softmax_lse) return spec.LseSizes();
  return {0};
}

// While a graph with unknown sizes is compiled, the layout still tells the rank.
Sizes UnknownOutputSizes(const OutputPart& part, const Call& call) {
  const LayoutPair& layouts = ParseLayout(call.op, call.input_layout, LayoutsOf(call.kind));
  Spec spec;
  spec.q_layout = layouts.input;
  spec.out_layout = layouts.output;
  return Sizes(OutputSizes(part, call, spec).size(), kUnknownSize);
}

Sizes SizesLike(const OperatorReader<gert::InferShapeContext>& reader, const char* input) {
  const TensorDesc<std::int64_t> tensor = reader.Desc<std::int64_t>(input);
  if (tensor) return tensor.sizes;
  return {0};
}

void SetSizes(const Sizes& sizes, gert::Shape* shape) {
  shape->SetDimNum(0);
  for (const std::int64_t size : sizes) shape->AppendDim(size);
}

struct TilingTarget {
  ChipLimits chip;
  std::size_t toolkit_workspace;
};

TilingTarget TargetOf(gert::TilingContext& context) {
  const platform_ascendc::PlatformAscendC platform(context.GetPlatformInfo());
  // A process may be left fewer cores than the chip has, and not two vector cores for each cube core.
  const std::uint32_t groups = std::min(platform.GetCoreNumAic(), platform.GetCoreNumAiv() / kVectorsPerCube);
  return {{std::max(groups, 1U)}, platform.GetLibApiWorkSpaceSize()};
}

template <class Launch>
void SetLaunch(const Launch& launch, const TilingTarget& target, gert::TilingContext* context) {
  WorkspaceSize(*context) = target.toolkit_workspace + launch.workspace_bytes;
  context->SetBlockDim(launch.block_dim);
  context->SetTilingKey(launch.tiling_key);
  if (launch.waits_for_all) context->SetScheduleMode(kStartTogether);
}

// Torch's operators draw a mask where the caller gives none; a kernel needs one.
void RequireDropoutMask(const Call& call) {
  if (call.keep_prob < 1.0 && !call.dropout_mask) {
    Fail(call.op, "dropout_mask", "is missing", "None", "one bit per score, since keep_prob is below 1");
  }
}

Call ReadForKernel(const OperatorReader<gert::TilingContext>& reader, OpKind kind) {
  reader.RequireReadableLists();
  Call call = ReadCall(reader, kind);
  if (kind == OpKind::kFusion) RequireDropoutMask(call);
  return call;
}

}  // namespace

ge::graphStatus InferShapes(gert::InferShapeContext* context, const OperatorParts& parts) {
  return ReportingErrors([&] {
    const OperatorReader<gert::InferShapeContext> reader(*context, parts);
    const Call call = ReadCall(reader, parts.kind);
    const bool unknown = HasUnknownSize(call);
    const Spec spec = unknown ? Spec() : Describe(call);
    for (std::size_t i = 0; i < parts.outputs.size(); ++i) {
      const OutputPart& part = parts.outputs[i];
      gert::Shape* shape = context->GetOutputShape(i);
      if (shape == nullptr) Fail(parts.op, part.name, "is missing", "None", "an output");
      SetSizes(part.like != nullptr ? SizesLike(reader, part.like)
               : unknown            ? UnknownOutputSizes(part, call)
                                    : OutputSizes(part, call, spec),
               shape);
    }
  });
}

ge::graphStatus InferDataTypes(gert::InferDataTypeContext* context, const OperatorParts& parts) {
  const auto type_of = [&](const char* name) {
    for (std::size_t i = 0; i < parts.inputs.size(); ++i) {
      if (std::strcmp(parts.inputs[i].name, name) == 0) return context->GetOptionalInputDataType(i);
    }
    return ge::DT_UNDEFINED;
  };
  const ge::DataType query = type_of("query");
  for (std::size_t i = 0; i < parts.outputs.size(); ++i) {
    const OutputPart& part = parts.outputs[i];
    ge::DataType type = part.role == Role::kFloats ? ge::DT_FLOAT : query;
    if (part.like != nullptr && type_of(part.like) != ge::DT_UNDEFINED) type = type_of(part.like);
    if (part.role == Role::kOutput) {
      const ge::DataType rope = type_of("query_rope");
      const ge::DataType number = query != ge::DT_INT8 ? query : rope != ge::DT_UNDEFINED ? rope : ge::DT_FLOAT16;
      type = type_of("quant_scale2") != ge::DT_UNDEFINED ? ge::DT_INT8 : number;
    }
    if (context->SetOutputDataType(i, type) != ge::GRAPH_SUCCESS) return ge::GRAPH_FAILED;
  }
  return ge::GRAPH_SUCCESS;
}

ge::graphStatus TileForward(gert::TilingContext* context, const OperatorParts& parts) {
  return ReportingErrors([&] {
    const OperatorReader<gert::TilingContext> reader(*context, parts);
    const Call call = ReadForKernel(reader, parts.kind);
    const TilingTarget target = TargetOf(*context);
    SetLaunch(FillTiling(call, Describe(call), reader.Number("scale_value"), target.chip,
                         TilingData<ForwardTiling>(*context)),
              target, context);
  });
}

ge::graphStatus TileBackward(gert::TilingContext* context, const OperatorParts& parts) {
  return ReportingErrors([&] {
    const OperatorReader<gert::TilingContext> reader(*context, parts);
    const Call call = ReadForKernel(reader, parts.kind);
    const Spec spec = Describe(call);
    CheckGradInputs(reader, spec);
    const TilingTarget target = TargetOf(*context);
    BackwardTiling& tiling = TilingData<BackwardTiling>(*context);
    BackwardLaunch launch = FillBackwardTiling(call, spec, reader.Number("scale_value"), target.chip, tiling);
    if (reader.Flag("any_lengths")) {
      launch.workspace_bytes = BackwardWorkspaceForAnyLengths(spec, target.chip, tiling);
    }
    SetLaunch(launch, target, context);
  });
}

}  // namespace npufa
