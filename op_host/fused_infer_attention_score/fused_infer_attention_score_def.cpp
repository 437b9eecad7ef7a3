#include "../attention/attention_operator.h"

namespace npufa {

namespace {

std::vector<TypeColumn> Types() {
  std::vector<TypeColumn> columns = InferenceTypes(true);
  columns.push_back({ge::DT_INT8, ge::DT_INT8, ge::DT_BF16, ge::DT_BF16});  // ropes of int8 queries
  for (const ge::DataType type : {ge::DT_FLOAT16, ge::DT_BF16}) {
    columns.push_back({type, type, ge::DT_FLOAT, type});  // slopes
  }
  return columns;
}

const OperatorParts& FusedInferAttentionScore() {
  static const OperatorParts parts{"npu_fused_infer_attention_score",
                                   OpKind::kFusedInfer,
                                   {{"query", Role::kQuery, ops::REQUIRED},
                                    {"key", Role::kCache, ops::REQUIRED},
                                    {"value", Role::kCache, ops::REQUIRED},
                                    {"pse_shift", Role::kBias},
                                    {"atten_mask", Role::kBytes},
                                    {"actual_seq_lengths", Role::kList},
                                    {"actual_seq_lengths_kv", Role::kList},
                                    {"dequant_scale1", Role::kFloats},
                                    {"quant_scale1", Role::kFloats},
                                    {"dequant_scale2", Role::kFloats},
                                    {"quant_scale2", Role::kFloats},
                                    {"quant_offset2", Role::kFloats},
                                    {"antiquant_scale", Role::kFloats},
                                    {"antiquant_offset", Role::kFloats},
                                    {"block_table", Role::kIndices},
                                    {"query_padding_size", Role::kInteger},
                                    {"kv_padding_size", Role::kInteger},
                                    {"key_antiquant_scale", Role::kFloats},
                                    {"key_antiquant_offset", Role::kFloats},
                                    {"value_antiquant_scale", Role::kFloats},
                                    {"value_antiquant_offset", Role::kFloats},
                                    {"key_shared_prefix", Role::kCache},
                                    {"value_shared_prefix", Role::kCache},
                                    {"actual_shared_prefix_len", Role::kList},
                                    {"query_rope", Role::kBias},
                                    {"key_rope", Role::kBias},
                                    {"learnable_sink", Role::kFloats},
                                    {"actual_seq_lengths_tensor", Role::kInteger},
                                    {"actual_seq_lengths_kv_tensor", Role::kInteger},
                                    {"dequant_scale_query", Role::kFloats}},
                                   {{"num_heads", 1, ops::REQUIRED},
                                    {"scale_value", 1.0f},
                                    {"pre_tokens", 2147483647},
                                    {"next_tokens", 2147483647},
                                    {"input_layout", "BSH"},
                                    {"num_key_value_heads", 0},
                                    {"sparse_mode", 0},
                                    {"inner_precise", 0},
                                    {"block_size", 0},
                                    {"antiquant_mode", 0},
                                    {"softmax_lse_flag", false},
                                    {"key_antiquant_mode", 0},
                                    {"value_antiquant_mode", 0},
                                    {"query_quant_mode", 0},
                                    {"softcap", 0.0f},
                                    {"batch_invariant", false},
                                    {"pse_layout", 0},
                                    {"value_head_size", 0}},
                                   {{"attention_out", Role::kOutput}, {"softmax_lse", Role::kFloats}},
                                   Types()};
  return parts;
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaFusedInferAttentionScore : public OpDef {
 public:
  explicit NpufaFusedInferAttentionScore(const char* name) : OpDef(name) {
    npufa::Define<npufa::FusedInferAttentionScore, npufa::TileForward>(this);
  }
};

OP_ADD(NpufaFusedInferAttentionScore);

}  // namespace ops
