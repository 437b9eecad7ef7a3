// The positions of npu_prompt_flash_attention's arguments in its definition, and the call they make.
#pragma once

#include "../attention_context.h"

namespace npufa {

inline constexpr const char* kPromptOp = "npu_prompt_flash_attention";

enum PromptInput : std::size_t {
  kPromptQuery,
  kPromptKey,
  kPromptValue,
  kPromptPseShift,
  kPromptAttenMask,
  kPromptLengths,
  kPromptLengthsKv,
  kPromptDeqScale1,
  kPromptQuantScale1,
  kPromptDeqScale2,
  kPromptQuantScale2,
  kPromptQuantOffset2,
};

enum PromptAttr : std::size_t {
  kPromptHeads,
  kPromptScale,
  kPromptPreTokens,
  kPromptNextTokens,
  kPromptLayout,
  kPromptKvHeads,
  kPromptSparseMode,
  kPromptInnerPrecise,
};

template <class Context>
AttentionCall<std::int64_t> PromptCall(const ContextReader<Context>& reader) {
  AttentionCall<std::int64_t> call;
  call.kind = OpKind::kPrompt;
  call.op = kPromptOp;
  call.names = kPromptNames;
  call.query = reader.Tensor(kPromptQuery);
  call.key = reader.Tensor(kPromptKey);
  call.value = reader.Tensor(kPromptValue);
  call.pse = reader.Tensor(kPromptPseShift);
  call.atten_mask = reader.Tensor(kPromptAttenMask);
  call.q_lens = reader.List(kPromptLengths);
  call.kv_lens = reader.List(kPromptLengthsKv);
  call.dequant_scale1 = reader.Tensor(kPromptDeqScale1);
  call.quant_scale1 = reader.Tensor(kPromptQuantScale1);
  call.dequant_scale2 = reader.Tensor(kPromptDeqScale2);
  call.quant_scale2 = reader.Tensor(kPromptQuantScale2);
  call.quant_offset2 = reader.Tensor(kPromptQuantOffset2);
  call.heads = reader.Integer(kPromptHeads, "num_heads");
  call.pre_tokens = reader.Integer(kPromptPreTokens, "pre_tokens");
  call.next_tokens = reader.Integer(kPromptNextTokens, "next_tokens");
  call.input_layout = reader.Text(kPromptLayout, "input_layout");
  call.kv_heads = reader.Integer(kPromptKvHeads, "num_key_value_heads");
  call.sparse_mode = reader.Integer(kPromptSparseMode, "sparse_mode");
  call.inner_precise = reader.Integer(kPromptInnerPrecise, "inner_precise");
  return call;
}

}  // namespace npufa
