"""torch_npu's own tests of the operators that npufa has: files of the op-plugin repository, and what cannot hold."""

FILES = (
    "core_tests/test_fake_tensor.py",
    "test_base_ops/test_incre_flash_attention.py",
    "test_base_ops/test_prompt_flash_attention.py",
    "test_custom_ops/test_atb_flash_attention.py",
    "test_custom_ops/test_atb_flash_attention_prefix_v2.py",
    "test_custom_ops/test_atb_flash_attention_qlens.py",
    "test_custom_ops/test_atb_flash_attention_unpad.py",
    "test_custom_ops/test_atb_flash_attention_v2.py",
    "test_custom_ops/test_atb_paged_attention.py",
    "test_custom_ops/test_atb_paged_attention_mla.py",
    "test_custom_ops/test_atb_paged_attention_splitfuse.py",
    "test_custom_ops/test_atb_paged_attention_v2.py",
    "test_custom_ops/test_atb_reshape_and_cache_siso.py",
    "test_custom_ops/test_incre_flash_attention.py",
    "test_custom_ops/test_npu_apply_rotary_pos_emb.py",
    "test_custom_ops/test_npu_attention_update.py",
    "test_custom_ops/test_npu_kv_rms_norm_rope_cache.py",
    "test_custom_ops/test_npu_ring_attention_update.py",
    "test_custom_ops/test_npu_advance_step_flashattn.py",
    "test_custom_ops/test_npu_dropout_gen_mask.py",
    "test_custom_ops/test_npu_flash_attention.py",
    "test_custom_ops/test_npu_flash_attention_grad.py",
    "test_custom_ops/test_npu_flash_attention_grad_v2.py",
    "test_custom_ops/test_npu_flash_attention_v2.py",
    "test_custom_ops/test_npu_fused_infer_attention_score.py",
    "test_custom_ops/test_npu_fused_infer_attention_score_v2.py",
    "test_custom_ops/test_npu_fused_infer_attention_score_v2_with_workspace.py",
    "test_custom_ops/test_npu_fused_infer_attention_score_with_workspace.py",
    "test_custom_ops/test_prompt_flash_attention.py",
)

# file -> the classes of it that are about our operators; all of them for other files.
CLASSES = {
    "core_tests/test_fake_tensor.py": (
        "TestIncreFlashAttention", "TestPromptFlashAttention", "TestFusedInferAttentionScore",
        "TestFusedInferAttentionV2", "TestFlashAttentionScore", "TestFlashAttentionScoreGrad",
        "TestFlashAttentionTensorScore", "TestFlashAttentionTensorScoreGrad", "TestNpuFusionAttention"),
}

_FAKE = "core_tests/test_fake_tensor.py"
_FUSED = "test_custom_ops/test_npu_fused_infer_attention_score"
_LSE = "test_npu_fused_infer_attention_score_ifa_return_lse_softmax_lse"
_ADVANCE = "test_custom_ops/test_npu_advance_step_flashattn.py"

# file::test -> why it cannot pass. All but the first six are skipped by their file.
CANNOT_PASS = {
    "test_base_ops/test_prompt_flash_attention.py::test_op_exec":
        "a scale of 128 with scores rounded to float16 before it: attention in float64 fails the test too",
    f"{_FAKE}::testIncreFlashAttention": "4-D tensors for the layout BSH; npufa checks shapes while it traces",
    f"{_FAKE}::test_incre_flash_attention_int8_in": "2-D tensors for the layout BSH",
    f"{_FAKE}::test_incre_flash_attention_kv_padding_size": "4-D tensors for the layout BSH",
    f"{_FAKE}::testPromptFlashAttention": "4-D tensors for the layout BSH",
    f"{_FAKE}::testFusedInferAttentionV2_tnd_d_unequal": "no lengths for the layout TND",
    f"{_ADVANCE}::test_npu_advance_step_flashattn":
        "wants a stride added to a block number, and only the first of the padding entries set",
    f"{_ADVANCE}::test_npu_advance_step_spec_flashattn":
        "accepts up to 50 of 3 proposed tokens",
    f"{_FUSED}.py::test_npu_fused_infer_attention_score_tnd":
        "4-D tensors and no lengths for the layout TND",
    f"{_FUSED}.py::test_npu_fused_infer_attention_score_tnd_ntd":
        "4-D keys and no lengths for the layout TND_NTD",
    f"{_FUSED}.py::test_npu_fused_infer_attention_score_v3_antiquant":
        "one scale for an antiquantisation per token",
    f"{_FUSED}.py::test_npu_fused_infer_attention_score_v3_param":
        "a tensor for the reserved argument key_rope_antiquant_scale",
    f"{_FUSED}_with_workspace.py::{_LSE}_flag_true_with_workspace":
        "three tensors for _npu_fused_infer_attention_score_infer_output, whose schema has two",
    f"{_FUSED}_v2.py::test_npu_fused_infer_attention_score_v2":
        "its own reference transposes an axis that its tensors lack",
}

# How tests skip themselves here.
LEGITIMATE_SKIPS = ("Only run on ['Ascend950']", "Only run on ['Ascend310P']",
                    "skip this test for torch version other than 2.1")
