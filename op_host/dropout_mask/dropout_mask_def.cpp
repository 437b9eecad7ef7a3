#include "../operator/chip_configs.h"
#include "dropout_mask_tiling.h"

namespace ops {

// mask (uint8): bit e % 8 of byte e / 8 is set iff word e % 4 of Philox counter offset + e / 4 is below the threshold.
class NpufaDropoutMask : public OpDef {
 public:
  explicit NpufaDropoutMask(const char* name) : OpDef(name) {
    // Three numbers in one input, so that a graph can make them anew at every run.
    this->Input("elements_seed_offset")
        .ParamType(REQUIRED)
        .DataType({ge::DT_INT64})
        .FormatList({ge::FORMAT_ND})
        .ValueDepend(OPTIONAL);
    // Of one element; replace the numbers for replays of a captured graph.
    for (const char* name : {"seed", "offset"}) {
      this->Input(name).ParamType(OPTIONAL).DataType({ge::DT_INT64}).FormatList({ge::FORMAT_ND});
    }
    this->Attr("threshold").AttrType(REQUIRED).Int(0);
    this->Output("mask").ParamType(REQUIRED).DataType({ge::DT_UINT8}).FormatList({ge::FORMAT_ND});
    this->SetInferShape(npufa::InferShapeOfDropoutMask);
    this->SetInferDataType(npufa::InferDataTypeOfDropoutMask);
    this->AICore().SetTiling(npufa::TileDropoutMask);
    npufa::AddChips(*this);
  }
};

OP_ADD(NpufaDropoutMask);

}  // namespace ops
