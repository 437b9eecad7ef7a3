#include "../attention/attention_operator.h"

namespace npufa {

namespace {

const OperatorParts& FlashAttention() {
  static const OperatorParts parts{
      "npu_fusion_attention",
      OpKind::kFusion,
      {{"query", Role::kQuery, ops::REQUIRED},
       {"key", Role::kCache, ops::REQUIRED},
       {"value", Role::kCache, ops::REQUIRED},
       {"pse", Role::kBias},
       {"dropout_mask", Role::kBytes},
       {"atten_mask", Role::kBytes},
       {"prefix", Role::kList},
       {"actual_seq_qlen", Role::kList},
       {"actual_seq_kvlen", Role::kList},
       {"q_start_idx", Role::kList},
       {"kv_start_idx", Role::kList},
       {"query_rope", Role::kQuery},
       {"key_rope", Role::kQuery},
       {"sink", Role::kFloats},
       {"actual_seq_qlen_tensor", Role::kInteger},
       {"actual_seq_kvlen_tensor", Role::kInteger}},
      TrainingAttributes(),
      {{"softmax_max", Role::kFloats}, {"softmax_sum", Role::kFloats}, {"attention_out", Role::kOutput}},
      TrainingTypes()};
  return parts;
}

}  // namespace

}  // namespace npufa

namespace ops {

class NpufaFlashAttention : public OpDef {
 public:
  explicit NpufaFlashAttention(const char* name) : OpDef(name) {
    npufa::Define<npufa::FlashAttention, npufa::TileForward>(this);
  }
};

OP_ADD(NpufaFlashAttention);

}  // namespace ops
