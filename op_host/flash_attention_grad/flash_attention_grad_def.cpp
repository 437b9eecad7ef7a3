#include "../attention/attention_operator.h"

namespace npufa {

namespace {

// any_lengths: the workspace is to be enough for the same call with any other lengths, too.
std::vector<AttributePart> GradientAttributes() {
  std::vector<AttributePart> attributes = TrainingAttributes();
  attributes.push_back({"any_lengths", false});
  return attributes;
}

const OperatorParts& FlashAttentionGrad() {
  static const OperatorParts parts{"npu_fusion_attention_grad",
                                   OpKind::kFusion,
                                   {{"query", Role::kQuery, ops::REQUIRED},
                                    {"key", Role::kCache, ops::REQUIRED},
                                    {"value", Role::kCache, ops::REQUIRED},
                                    {"dy", Role::kQuery, ops::REQUIRED},
                                    {"pse", Role::kBias},
                                    {"dropout_mask", Role::kBytes},
                                    {"atten_mask", Role::kBytes},
                                    {"softmax_max", Role::kFloats, ops::REQUIRED},
                                    {"softmax_sum", Role::kFloats, ops::REQUIRED},
                                    {"attention_in", Role::kQuery, ops::REQUIRED},
                                    {"prefix", Role::kList},
                                    {"actual_seq_qlen", Role::kList},
                                    {"actual_seq_kvlen", Role::kList},
                                    {"query_rope", Role::kQuery},
                                    {"key_rope", Role::kQuery},
                                    {"sink", Role::kFloats},
                                    {"q_start_idx", Role::kList},
                                    {"kv_start_idx", Role::kList},
                                    {"actual_seq_qlen_tensor", Role::kInteger},
                                    {"actual_seq_kvlen_tensor", Role::kInteger}},
                                   GradientAttributes(),
                                   {{"dq", Role::kQuery, "query"},
                                    {"dk", Role::kQuery, "key"},
                                    {"dv", Role::kQuery, "value"},
                                    {"dpse", Role::kBias, "pse"},
                                    {"dq_rope", Role::kQuery, "query_rope"},
                                    {"dk_rope", Role::kQuery, "key_rope"},
                                    {"dsink", Role::kFloats, "sink"}},
                                   TrainingTypes()};
  return parts;
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaFlashAttentionGrad : public OpDef {
 public:
  explicit NpufaFlashAttentionGrad(const char* name) : OpDef(name) {
    npufa::Define<npufa::FlashAttentionGrad, npufa::TileBackward>(this);
  }
};

OP_ADD(NpufaFlashAttentionGrad);

}  // namespace ops
