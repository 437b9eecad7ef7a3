#include "prompt_flash_attention_infershape.h"

#include <algorithm>

#include "prompt_flash_attention_call.h"

namespace npufa {

namespace {

constexpr std::int64_t kUnknownSize = -1;

bool HasUnknownSize(const TensorDesc<std::int64_t>& tensor) {
  return std::any_of(tensor.sizes.begin(), tensor.sizes.end(), [](std::int64_t size) { return size < 0; });
}

// While a graph with unknown sizes is compiled, the layout still tells the rank.
std::vector<std::int64_t> OutputSizes(const AttentionCall<std::int64_t>& call) {
  if (HasUnknownSize(call.query) || HasUnknownSize(call.key) || HasUnknownSize(call.value)) {
    const Layout layout = ParseLayout(call.op, call.input_layout, LayoutsOf(call.kind)).output;
    return std::vector<std::int64_t>(static_cast<std::size_t>(AxesOf(layout).rank), kUnknownSize);
  }
  return Describe(call).OutputSizes();
}

}  // namespace

ge::graphStatus InferShapeOfPromptFlashAttention(gert::InferShapeContext* context) {
  return ReportingErrors([context] {
    const ContextReader reader(*context, kPromptOp);
    gert::Shape* shape = context->GetOutputShape(0);
    if (shape == nullptr) Fail(kPromptOp, "attention_out", "is missing", "None", "an output");
    shape->SetDimNum(0);
    for (const std::int64_t size : OutputSizes(PromptCall(reader))) shape->AppendDim(size);
  });
}

ge::graphStatus InferDataTypeOfPromptFlashAttention(gert::InferDataTypeContext* context) {
  return context->SetOutputDataType(0, context->GetRequiredInputDataType(kPromptQuery));
}

}  // namespace npufa
