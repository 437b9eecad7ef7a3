#include "../attention/attention_operator.h"

namespace npufa {

namespace {

const OperatorParts& IncreFlashAttention() {
  static const OperatorParts parts{"npu_incre_flash_attention",
                                   OpKind::kIncre,
                                   {{"query", Role::kQuery, ops::REQUIRED},
                                    {"key", Role::kCache, ops::REQUIRED},
                                    {"value", Role::kCache, ops::REQUIRED},
                                    {"pse_shift", Role::kBias},
                                    {"atten_mask", Role::kBytes},
                                    {"actual_seq_lengths", Role::kList},
                                    {"dequant_scale1", Role::kFloats},
                                    {"quant_scale1", Role::kFloats},
                                    {"dequant_scale2", Role::kFloats},
                                    {"quant_scale2", Role::kFloats},
                                    {"quant_offset2", Role::kFloats},
                                    {"antiquant_scale", Role::kFloats},
                                    {"antiquant_offset", Role::kFloats},
                                    {"block_table", Role::kIndices},
                                    {"kv_padding_size", Role::kInteger},
                                    {"actual_seq_lengths_tensor", Role::kInteger}},
                                   {{"num_heads", 1, ops::REQUIRED},
                                    {"scale_value", 1.0f},
                                    {"input_layout", "BSH"},
                                    {"num_key_value_heads", 0},
                                    {"block_size", 0},
                                    {"inner_precise", 1},
                                    {"batch_invariant", false}},
                                   {{"attention_out", Role::kOutput}},
                                   InferenceTypes(true)};
  return parts;
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaIncreFlashAttention : public OpDef {
 public:
  explicit NpufaIncreFlashAttention(const char* name) : OpDef(name) {
    npufa::Define<npufa::IncreFlashAttention, npufa::TileForward>(this);
  }
};

OP_ADD(NpufaIncreFlashAttention);

}  // namespace ops
