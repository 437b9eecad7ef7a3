#include "../chip_configs.h"
#include "advance_step_tiling.h"

namespace ops {

// Four tensors are changed in place: outputs of the names of inputs.
class NpufaAdvanceStepFlashattn : public OpDef {
 public:
  explicit NpufaAdvanceStepFlashattn(const char* name) : OpDef(name) {
    for (const char* tensor : {"input_tokens", "sampled_token_ids", "input_positions", "seq_lens", "slot_mapping",
                               "block_tables"}) {
      Declare(this->Input(tensor), REQUIRED).AutoContiguous();
    }
    for (const char* tensor : {"spec_token", "accepted_num"}) Declare(this->Input(tensor), OPTIONAL).AutoContiguous();
    for (const char* tensor : {"input_tokens", "input_positions", "seq_lens", "slot_mapping"}) {
      Declare(this->Output(tensor), REQUIRED);
    }
    for (const char* attribute : {"num_seqs", "num_queries", "block_size"}) {
      this->Attr(attribute).AttrType(REQUIRED).Int(1);
    }
    this->SetInferShape(npufa::InferShapesOfAdvanceStep);
    this->SetInferDataType(npufa::InferDataTypesOfAdvanceStep);
    this->AICore().SetTiling(npufa::TileAdvanceStep);
    npufa::AddChips(*this);
  }

 private:
  static OpParamDef& Declare(OpParamDef& tensor, Option presence) {
    return tensor.ParamType(presence).DataType({ge::DT_INT64}).FormatList({ge::FORMAT_ND});
  }
};

OP_ADD(NpufaAdvanceStepFlashattn);

}  // namespace ops
