#include "../attention/attention_operator.h"

namespace npufa {

namespace {

const OperatorParts& PromptFlashAttention() {
  static const OperatorParts parts{"npu_prompt_flash_attention",
                                   OpKind::kPrompt,
                                   {{"query", Role::kQuery, ops::REQUIRED},
                                    {"key", Role::kCache, ops::REQUIRED},
                                    {"value", Role::kCache, ops::REQUIRED},
                                    {"pse_shift", Role::kBias},
                                    {"atten_mask", Role::kBytes},
                                    {"actual_seq_lengths", Role::kList},
                                    {"actual_seq_lengths_kv", Role::kList},
                                    {"deq_scale1", Role::kFloats},
                                    {"quant_scale1", Role::kFloats},
                                    {"deq_scale2", Role::kFloats},
                                    {"quant_scale2", Role::kFloats},
                                    {"quant_offset2", Role::kFloats},
                                    {"actual_seq_lengths_tensor", Role::kInteger},
                                    {"actual_seq_lengths_kv_tensor", Role::kInteger}},
                                   {{"num_heads", 1, ops::REQUIRED},
                                    {"scale_value", 1.0f},
                                    {"pre_tokens", 2147483647},
                                    {"next_tokens", 0},
                                    {"input_layout", "BSH"},
                                    {"num_key_value_heads", 0},
                                    {"sparse_mode", 0},
                                    {"inner_precise", 1},
                                    {"batch_invariant", false}},
                                   {{"attention_out", Role::kOutput}},
                                   InferenceTypes(false)};
  return parts;
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaPromptFlashAttention : public OpDef {
 public:
  explicit NpufaPromptFlashAttention(const char* name) : OpDef(name) {
    npufa::Define<npufa::PromptFlashAttention, npufa::TileForward>(this);
  }
};

OP_ADD(NpufaPromptFlashAttention);

}  // namespace ops
