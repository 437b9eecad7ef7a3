// An operator with a tensor list and an output in the place of an input: total += sum of the list's tensors.
#include "list_total_tiling.h"
#include "register/op_def_registry.h"

namespace {

ge::graphStatus Tile(gert::TilingContext* context) {
  auto* tiling = context->GetTilingData<ListTotalTiling>();
  tiling->tensors = static_cast<uint32_t>(context->GetIrInputInstanceInfo(0)->GetInstanceNum());
  tiling->count = static_cast<uint32_t>(context->GetRequiredInputShape(1)->GetStorageShape().GetShapeSize());
  context->SetBlockDim(1);
  return ge::GRAPH_SUCCESS;
}

}  // namespace

namespace ops {

class TestListTotal : public OpDef {
 public:
  explicit TestListTotal(const char* name) : OpDef(name) {
    this->Input("parts").ParamType(DYNAMIC).DataTypeList({ge::DT_FLOAT});
    this->Input("total").ParamType(REQUIRED).DataTypeList({ge::DT_FLOAT});
    this->Output("total").ParamType(REQUIRED).DataTypeList({ge::DT_FLOAT});
    OpAICoreConfig config;
    this->AICore().AddConfig("ascend910b", config).AddConfig("ascend910_93", config);
  }
};
OP_ADD(TestListTotal);

IMPL_OP_OPTILING(TestListTotal).Tiling(Tile);

}  // namespace ops
