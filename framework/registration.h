// Which operators and overloads share a kernel; every backend registers by these lists.
#pragma once

#include <torch/library.h>

namespace npufa {

inline constexpr const char* kFusionOperators[] = {"npu_fusion_attention", "npu_fusion_attention_v2",
                                                   "npu_fusion_attention_v3", "_npu_fusion_attention_drawn"};
inline constexpr const char* kFusionGradOperators[] = {"npu_fusion_attention_grad", "npu_fusion_attention_grad_v2",
                                                       "npu_fusion_attention_grad_v3",
                                                       "_npu_fusion_attention_grad_masked"};
inline constexpr const char* kPromptOperators[] = {"npu_prompt_flash_attention",
                                                   "npu_prompt_flash_attention.tensor_lengths"};
inline constexpr const char* kIncreOperators[] = {"npu_incre_flash_attention",
                                                  "npu_incre_flash_attention.tensor_lengths"};
inline constexpr const char* kFusedInferOperators[] = {
    "npu_fused_infer_attention_score", "npu_fused_infer_attention_score.tensor_lengths",
    "npu_fused_infer_attention_score_v2", "npu_fused_infer_attention_score_v2.tensor_lengths"};

// The overloads that write into tensors of the caller.
inline constexpr const char* kFusionOut[] = {"npu_fusion_attention_v3.out"};
inline constexpr const char* kFusionGradOut[] = {"npu_fusion_attention_grad_v3.out"};
inline constexpr const char* kFusedInferOut[] = {"npu_fused_infer_attention_score.out",
                                                 "npu_fused_infer_attention_score_v2.out"};

// atb's attention, which writes into `out`; see atb_calls.h.
inline constexpr const char* kAtbOperators[] = {
    "_npu_paged_attention",           "_npu_paged_attention_v2.out",       "_npu_paged_attention_mla",
    "_npu_paged_attention_splitfuse", "_npu_paged_attention_splitfuse_v2", "_npu_flash_attention",
    "_npu_flash_attention_v2.out",    "_npu_flash_attention_v3",           "_npu_flash_attention_unpad",
    "_npu_flash_attention_unpad_v2",  "_npu_flash_attention_qlens",        "_npu_flash_attention_prefix_v2.out"};
inline constexpr const char* kAtbWorkspace[] = {"_npu_paged_attention_get_workspace",
                                                "_npu_paged_attention_v2_get_workspace"};

// The size of their workspace, which does not depend on lengths.
inline constexpr const char* kFusionMaxWorkspace[] = {"_npu_fusion_attention_v3_get_max_workspace"};
inline constexpr const char* kFusionGradMaxWorkspace[] = {"_npu_fusion_attention_grad_v3_get_max_workspace"};
inline constexpr const char* kFusedInferMaxWorkspace[] = {"_npu_fused_infer_attention_score_get_max_workspace",
                                                          "_npu_fused_infer_attention_score_v2_get_max_workspace"};

// Tensors for `out`.
inline constexpr const char* kFusionOutput[] = {"_npu_fusion_attention_v3_infer_output"};
inline constexpr const char* kFusionGradOutput[] = {"_npu_fusion_attention_grad_v3_infer_output"};
inline constexpr const char* kFusedInferOutput[] = {"_npu_fused_infer_attention_score_infer_output",
                                                    "_npu_fused_infer_attention_score_v2_infer_output"};

// Writing tokens into paged caches.
inline constexpr const char* kScatterOperators[] = {"npu_scatter_pa_kv_cache", "_npu_scatter_pa_cache",
                                                    "_npu_reshape_and_cache", "_npu_reshape_and_cache_siso"};

// A kernel may take the keys of the call, to pass it on without computing them again.
template <auto* kernel, class Names>
void Register(torch::Library& m, const Names& names) {
  for (const char* name : names) m.impl(name, torch::CppFunction::makeFromBoxedFunction<kernel>());
}

}  // namespace npufa
