#include "prompt_flash_attention_tiling.h"

#include "../forward_tiling.h"
#include "prompt_flash_attention_call.h"
#include "tiling/platform/platform_ascendc.h"

namespace npufa {

namespace {

// What the operator defines and this kernel does not compute.
void RequireSupported(const AttentionCall<std::int64_t>& call) {
  const auto require_none = [&](const char* argument, const TensorDesc<std::int64_t>& tensor) {
    if (tensor) Fail(call.op, argument, "is not supported by the NPU kernel", "a tensor", "None");
  };
  require_none("deq_scale1", call.dequant_scale1);
  require_none("quant_scale1", call.quant_scale1);
  require_none("deq_scale2", call.dequant_scale2);
  require_none("quant_scale2", call.quant_scale2);
  require_none("quant_offset2", call.quant_offset2);
  if (call.query.dtype != DType::kFloat16 && call.query.dtype != DType::kBFloat16) {
    Fail(call.op, "query", "has a dtype that the NPU kernel does not support", NameOf(call.query.dtype),
         "float16 or bfloat16");
  }
}

// Tiling runs with all values at hand; a list that is given but cannot be read must not pass for one that is not given.
void RequireReadable(const gert::TilingContext& context, const AttentionCall<std::int64_t>& call) {
  const auto require = [&](const char* argument, std::size_t index, const OptionalList<std::int64_t>& list) {
    if (context.GetOptionalInputTensor(index) != nullptr && !list) {
      Fail(call.op, argument, "has no values on the host", "a device tensor", "lengths known before the launch");
    }
  };
  require(call.names.q_lens, kPromptLengths, call.q_lens);
  require(call.names.kv_lens, kPromptLengthsKv, call.kv_lens);
}

void Tile(gert::TilingContext& context) {
  const ContextReader reader(context, kPromptOp);
  const AttentionCall<std::int64_t> call = PromptCall(reader);
  RequireReadable(context, call);
  const AttentionSpec<std::int64_t> spec = Describe(call);
  RequireSupported(call);

  const platform_ascendc::PlatformAscendC platform(context.GetPlatformInfo());
  auto* tiling = context.GetTilingData<ForwardTiling>();
  std::size_t* workspace = context.GetWorkspaceSizes(1);
  if (tiling == nullptr || workspace == nullptr) throw std::runtime_error("no room for the tiling of the kernel");
  const ForwardLaunch launch =
      FillTiling(call, spec, reader.Number(kPromptScale, "scale_value"), {platform.GetCoreNumAic()}, *tiling);
  *workspace = platform.GetLibApiWorkSpaceSize() + launch.workspace_bytes;
  context.SetBlockDim(launch.block_dim);
  context.SetTilingKey(launch.tiling_key);
}

}  // namespace

ge::graphStatus TilePromptFlashAttention(gert::TilingContext* context) {
  return ReportingErrors([context] { Tile(*context); });
}

}  // namespace npufa
