"""Which GE operator a torch operator becomes, where the two differ. Whatever has the same name in both is not here."""

from __future__ import annotations

import dataclasses

# Stand for results of torch that are no outputs of the GE operator.
EMPTY, SEED, OFFSET, SCORES = "<empty>", "<seed>", "<offset>", "<number of scores>"


@dataclasses.dataclass(frozen=True)
class Mapping:
    """
    Attributes:
        op_type: the GE operator.
        results: for every result of torch the output of the GE operator, or one of the names above.
        renamed: argument of torch to input or attribute of the GE operator.
        unused: arguments that the node does not have; those that must be None are refused before a graph is built.
        trains: has dropout, whose mask another node draws.
    """

    op_type: str
    results: tuple[str, ...]
    renamed: dict[str, str] = dataclasses.field(default_factory=dict)
    unused: frozenset[str] = frozenset()
    trains: bool = False


_RESERVED = frozenset({"padding_mask", "key_rope_antiquant_scale"})
_RESERVED_V2 = frozenset({"dequant_scale_key_rope", "quant_scale_p"} | {
    f"{name}_dtype" for name in ("query", "key", "value", "query_rope", "key_rope", "key_shared_prefix", "out",
                                 "value_shared_prefix", "dequant_scale_query", "dequant_scale_key",
                                 "dequant_scale_value", "dequant_scale_key_rope")})
_NAMES_V2 = {
    "num_query_heads": "num_heads",
    "softmax_scale": "scale_value",
    "return_softmax_lse": "softmax_lse_flag",
    "actual_seq_qlen": "actual_seq_lengths",
    "actual_seq_kvlen": "actual_seq_lengths_kv",
    "dequant_scale_key": "key_antiquant_scale",
    "dequant_offset_key": "key_antiquant_offset",
    "key_quant_mode": "key_antiquant_mode",
    "dequant_scale_value": "value_antiquant_scale",
    "dequant_offset_value": "value_antiquant_offset",
    "value_quant_mode": "value_antiquant_mode",
    "quant_scale_out": "quant_scale2",
    "quant_offset_out": "quant_offset2",
}
_COMPRESSION = frozenset({"compress_lens", "compress_seq_offsets", "seq_lens"})
_LATENT_UNUSED = frozenset({"k_rope_offset", "c_kv_offset", "v", "k_cache_dtype", "ckv_cache_dtype"})
_TRAINING_NAMES = {"scale": "scale_value", "pre_tockens": "pre_tokens", "next_tockens": "next_tokens"}
_TRAINING_UNUSED = frozenset({"padding_mask", "softmax_in", "gen_mask_parallel", "sync", "seed", "offset", "numels"})


def _forward(*results: str) -> Mapping:
    return Mapping("NpufaFlashAttention", ("attention_out", "softmax_max", "softmax_sum", EMPTY, *results),
                   _TRAINING_NAMES, _TRAINING_UNUSED, trains=True)


def _backward(*results: str) -> Mapping:
    return Mapping("NpufaFlashAttentionGrad", ("dq", "dk", "dv", "dpse", *results), _TRAINING_NAMES, _TRAINING_UNUSED,
                   trains=True)


MAPPINGS: dict[str, Mapping] = {
    "npu_fusion_attention": _forward(SEED, OFFSET, SCORES),
    "npu_fusion_attention_v2": _forward(SEED, OFFSET, SCORES),
    "npu_fusion_attention_v3": _forward(SEED, OFFSET),
    "_npu_fusion_attention_drawn": _forward(SEED, OFFSET),
    "npu_fusion_attention_grad": _backward("dsink"),
    "npu_fusion_attention_grad_v2": _backward("dq_rope", "dk_rope", "dsink"),
    "npu_fusion_attention_grad_v3": _backward("dsink"),
    "_npu_fusion_attention_grad_masked": _backward("dq_rope", "dk_rope", "dsink"),
    "npu_prompt_flash_attention": Mapping("NpufaPromptFlashAttention", ("attention_out",), unused=_RESERVED),
    "npu_incre_flash_attention": Mapping("NpufaIncreFlashAttention", ("attention_out",), unused=_RESERVED),
    "npu_fused_infer_attention_score": Mapping(
        "NpufaFusedInferAttentionScore", ("attention_out", "softmax_lse"), {"scale": "scale_value"},
        _RESERVED),
    "npu_fused_infer_attention_score_v2": Mapping(
        "NpufaFusedInferAttentionScore", ("attention_out", "softmax_lse"), _NAMES_V2, _RESERVED_V2),
    "npu_scatter_pa_kv_cache": Mapping("NpufaScatterPaKvCache", (), unused=_COMPRESSION),
    "_npu_scatter_pa_cache": Mapping("NpufaScatterPaCache", (), unused=_COMPRESSION),
    "_npu_reshape_and_cache": Mapping("NpufaScatterPaKvCache", (), {"slot_indices": "slot_mapping"}),
    "_npu_reshape_and_cache_siso": Mapping("NpufaScatterPaCache", (), {"slot_indices": "slot_mapping"}),
    "npu_gather_pa_kv_cache": Mapping("NpufaGatherPaKvCache", ()),
    "npu_attention_update": Mapping("NpufaAttentionUpdate", ("out", "lse_out")),
    "npu_ring_attention_update": Mapping("NpufaRingAttentionUpdate", ("attn_out", "softmax_max", "softmax_sum")),
    "_npu_rotary": Mapping("NpufaRotaryMul", ("output",)),
    "npu_kv_rmsnorm_rope_cache_v2": Mapping("NpufaKvRmsnormRopeCache", ("k_embed_out", "y_out"), unused=_LATENT_UNUSED),
    "npu_advance_step_flashattn": Mapping("NpufaAdvanceStepFlashattn", ()),
}
