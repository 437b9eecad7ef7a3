#include "../chip_configs.h"
#include "dropout_mask_tiling.h"

namespace ops {

// mask (uint8): bit e % 8 of byte e / 8 is set iff word e % 4 of Philox counter offset + e / 4 is below the threshold.
class NpufaDropoutMask : public OpDef {
 public:
  explicit NpufaDropoutMask(const char* name) : OpDef(name) {
    for (const char* attribute : {"elements", "seed", "offset", "threshold"}) {
      this->Attr(attribute).AttrType(REQUIRED).Int(0);
    }
    this->Output("mask").ParamType(REQUIRED).DataType({ge::DT_UINT8}).FormatList({ge::FORMAT_ND});
    this->SetInferShape(npufa::InferShapeOfDropoutMask);
    this->SetInferDataType(npufa::InferDataTypeOfDropoutMask);
    this->AICore().SetTiling(npufa::TileDropoutMask);
    npufa::AddChips(*this);
  }
};

OP_ADD(NpufaDropoutMask);

}  // namespace ops
