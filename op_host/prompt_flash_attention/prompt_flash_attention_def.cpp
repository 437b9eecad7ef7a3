#include "prompt_flash_attention_infershape.h"
#include "prompt_flash_attention_tiling.h"
#include "register/op_def_registry.h"

namespace ops {

class NpufaPromptFlashAttention : public OpDef {
 public:
  explicit NpufaPromptFlashAttention(const char* name) : OpDef(name) {
    Tensors();
    Attributes();
    this->SetInferShape(npufa::InferShapeOfPromptFlashAttention);
    this->SetInferDataType(npufa::InferDataTypeOfPromptFlashAttention);
    this->AICore().SetTiling(npufa::TilePromptFlashAttention);

    OpAICoreConfig config;
    config.DynamicCompileStaticFlag(true)
        .DynamicFormatFlag(true)
        .DynamicRankSupportFlag(true)
        .DynamicShapeSupportFlag(true)
        .NeedCheckSupportFlag(false)
        .PrecisionReduceFlag(true)
        .ExtendCfgInfo("aclnnSupport.value", "support_aclnn")
        .ExtendCfgInfo("jitCompile.flag", "static_false,dynamic_false");
    this->AICore().AddConfig("ascend910b", config);
    this->AICore().AddConfig("ascend910_93", config);
  }

 private:
  void Tensors() {
    // One column per type of query; masks and scales go with both.
    for (const char* name : {"query", "key", "value"}) {
      this->Input(name)
          .ParamType(REQUIRED)
          .DataType({ge::DT_FLOAT16, ge::DT_BF16})
          .FormatList({ge::FORMAT_ND})
          .AutoContiguous();
    }
    this->Input("pse_shift")
        .ParamType(OPTIONAL)
        .DataType({ge::DT_FLOAT16, ge::DT_BF16})
        .FormatList({ge::FORMAT_ND})
        .AutoContiguous();
    this->Input("atten_mask")
        .ParamType(OPTIONAL)
        .DataTypeList({ge::DT_BOOL, ge::DT_INT8, ge::DT_UINT8})
        .FormatList({ge::FORMAT_ND})
        .AutoContiguous();
    for (const char* name : {"actual_seq_lengths", "actual_seq_lengths_kv"}) {
      this->Input(name)
          .ParamType(OPTIONAL)
          .ValueDepend(REQUIRED)
          .DataTypeList({ge::DT_INT64})
          .FormatList({ge::FORMAT_ND});
    }
    OptionalScale("deq_scale1", ge::DT_UINT64);
    OptionalScale("quant_scale1", ge::DT_FLOAT);
    OptionalScale("deq_scale2", ge::DT_UINT64);
    OptionalScale("quant_scale2", ge::DT_FLOAT);
    OptionalScale("quant_offset2", ge::DT_FLOAT);
    this->Output("attention_out")
        .ParamType(REQUIRED)
        .DataType({ge::DT_FLOAT16, ge::DT_BF16})
        .FormatList({ge::FORMAT_ND});
  }

  void OptionalScale(const char* name, ge::DataType type) {
    this->Input(name).ParamType(OPTIONAL).DataTypeList({type}).FormatList({ge::FORMAT_ND}).AutoContiguous();
  }

  void Attributes() {
    this->Attr("num_heads").AttrType(REQUIRED).Int(1);
    this->Attr("scale_value").AttrType(OPTIONAL).Float(1.0f);
    this->Attr("pre_tokens").AttrType(OPTIONAL).Int(2147483647);
    this->Attr("next_tokens").AttrType(OPTIONAL).Int(0);
    this->Attr("input_layout").AttrType(OPTIONAL).String("BSH");
    this->Attr("num_key_value_heads").AttrType(OPTIONAL).Int(0);
    this->Attr("sparse_mode").AttrType(OPTIONAL).Int(0);
    this->Attr("inner_precise").AttrType(OPTIONAL).Int(1);
  }
};

OP_ADD(NpufaPromptFlashAttention);

}  // namespace ops
