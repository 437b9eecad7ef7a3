// An operator with every kind of argument: out = x * scale + offset (+ or - y), offset = sum of everything else.
#include <numeric>

#include "base/err_msg.h"
#include "register/op_def_registry.h"
#include "scaled_add_tiling.h"
#include "tiling/platform/platform_ascendc.h"

namespace {

enum Input { kX, kY, kAddends };
enum Attr { kScale, kBias, kMode, kFlip, kInts, kFloats, kFlags };

constexpr uint64_t kSubtract = 1, kOverrun = 2, kHalf = 10;

ge::graphStatus InferShape(gert::InferShapeContext* context) {
  *context->GetOutputShape(0) = *context->GetRequiredInputShape(kX);
  return ge::GRAPH_SUCCESS;
}

ge::graphStatus InferDataType(gert::InferDataTypeContext* context) {
  return context->SetOutputDataType(0, context->GetRequiredInputDataType(kX));
}

float Offset(const gert::TilingContext& context) {
  const gert::RuntimeAttrs& attrs = *context.GetAttrs();
  float sum = static_cast<float>(*attrs.GetInt(kBias)) + (*attrs.GetBool(kFlip) ? 100.0f : 0.0f);
  const auto* ints = attrs.GetListInt(kInts);
  sum += static_cast<float>(std::accumulate(ints->GetData(), ints->GetData() + ints->GetSize(), int64_t{0}));
  const auto* floats = attrs.GetListFloat(kFloats);
  sum += std::accumulate(floats->GetData(), floats->GetData() + floats->GetSize(), 0.0f);
  const auto* flags = attrs.GetAttrPointer<gert::TypedContinuousVector<bool>>(kFlags);
  sum += static_cast<float>(std::accumulate(flags->GetData(), flags->GetData() + flags->GetSize(), 0));
  const gert::Tensor* addends = context.GetOptionalInputTensor(kAddends);
  if (addends == nullptr) return sum;
  const auto* values = addends->GetData<int64_t>();
  return sum + static_cast<float>(std::accumulate(values, values + addends->GetShapeSize(), int64_t{0}));
}

ge::graphStatus Tile(gert::TilingContext* context) {
  const std::string mode = context->GetAttrs()->GetStr(kMode);
  if (mode != "add" && mode != "sub" && mode != "overrun") {
    ge::ReportUserDefinedErrMsg("EU0001", "mode is unknown, got %s", mode.c_str());
    return ge::GRAPH_FAILED;
  }
  const platform_ascendc::PlatformAscendC platform(context->GetPlatformInfo());
  auto* tiling = context->GetTilingData<ScaledAddTiling>();
  tiling->count = static_cast<uint32_t>(context->GetRequiredInputShape(kX)->GetStorageShape().GetShapeSize());
  const uint32_t cores = platform.GetCoreNumAiv();
  tiling->perBlock = (tiling->count + cores - 1) / cores;
  tiling->hasY = context->GetOptionalInputTensor(kY) != nullptr;
  tiling->scale = *context->GetAttrs()->GetFloat(kScale);
  tiling->offset = Offset(*context);
  context->SetBlockDim((tiling->count + tiling->perBlock - 1) / tiling->perBlock);
  const bool half = context->GetRequiredInputDesc(kX)->GetDataType() == ge::DT_FLOAT16;
  context->SetTilingKey((mode == "sub" ? kSubtract : mode == "overrun" ? kOverrun : 0) + (half ? kHalf : 0));
  *context->GetWorkspaceSizes(1) = tiling->count * sizeof(float);
  return ge::GRAPH_SUCCESS;
}

}  // namespace

namespace ops {

class TestScaledAdd : public OpDef {
 public:
  explicit TestScaledAdd(const char* name) : OpDef(name) {
    this->Input("x").ParamType(REQUIRED).DataType({ge::DT_FLOAT, ge::DT_FLOAT16}).FormatList({ge::FORMAT_ND});
    this->Input("y").ParamType(OPTIONAL).DataType({ge::DT_FLOAT, ge::DT_FLOAT16}).AutoContiguous();
    this->Input("extra_addends").ParamType(OPTIONAL).ValueDepend(OPTIONAL).DataTypeList({ge::DT_INT64});
    this->Output("out").ParamType(REQUIRED).DataType({ge::DT_FLOAT, ge::DT_FLOAT16});
    this->Attr("scale").AttrType(REQUIRED).Float();
    this->Attr("bias").AttrType(OPTIONAL).Int(0);
    this->Attr("mode").AttrType(OPTIONAL).String("add");
    this->Attr("flip").AttrType(OPTIONAL).Bool(false);
    this->Attr("ints").AttrType(OPTIONAL).ListInt({1, 2});
    this->Attr("floats").AttrType(OPTIONAL).ListFloat({0.5f});
    this->Attr("flags").AttrType(OPTIONAL).ListBool({true, false, true});
    this->SetInferShape(InferShape).SetInferDataType(InferDataType);
    this->AICore().SetTiling(Tile);
    this->AICore().AddConfig("ascend910b");
  }
};
OP_ADD(TestScaledAdd);

}  // namespace ops
