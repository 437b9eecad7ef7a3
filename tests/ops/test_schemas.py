"""The registered schemas are those of torch_npu, argument by argument."""

import pytest
import torch

from cases.model import operator

OUT7 = "(Tensor, Tensor, Tensor, Tensor, int, int, int)"
STATISTICS = "Tensor? softmax_max=None, Tensor? softmax_sum=None, Tensor? softmax_in=None, Tensor? attention_in=None, "
LENGTHS = "int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, "
TENSOR_LENGTHS = "Tensor? actual_seq_qlen=None, Tensor? actual_seq_kvlen=None, "
MASKS = "Tensor? pse=None, Tensor? padding_mask=None, Tensor? atten_mask=None, "
SYNC = "int sparse_mode=0, bool gen_mask_parallel=True, bool sync=False, "


def v1(lengths=LENGTHS):
    return ("Tensor query, Tensor key, Tensor value, int head_num, str input_layout, " + MASKS
            + "float scale=1., float keep_prob=1., int pre_tockens=2147483647, int next_tockens=2147483647, "
            "int inner_precise=0, int[]? prefix=None, " + lengths + SYNC + 'str softmax_layout="", Tensor? sink=None')


def v1_grad(lengths=LENGTHS, seed="int seed=0, int offset=0, int numels=0, "):
    return ("Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, *, "
            + MASKS + STATISTICS
            + "float scale_value=1., float keep_prob=1., int pre_tockens=2147483647, int next_tockens=2147483647, "
            "int inner_precise=0, " + seed + "int[]? prefix=None, " + lengths + SYNC
            + 'str softmax_layout="", Tensor? sink=None')


ROPES = "Tensor? query_rope=None, Tensor? key_rope=None, "
V2_TAIL = ("int pse_type=1, int[]? q_start_idx=None, int[]? kv_start_idx=None, "
           'str softmax_layout="", Tensor? sink=None')
V2_BAND = "int pre_tokens=2147483647, int next_tokens=2147483647, int inner_precise=0, "
SCALES = ("Tensor? {0}_scale1=None, Tensor? quant_scale1=None, Tensor? {0}_scale2=None, Tensor? quant_scale2=None, "
          "Tensor? quant_offset2=None, ")
SOFTCAP = ", float softcap=0."  # an argument that torch_npu's operators do not have
COMPRESSION = "Tensor? compress_lens=None, Tensor? compress_seq_offsets=None, Tensor? seq_lens=None"
SCATTER = f"Tensor slot_mapping, *, {COMPRESSION}, str? cache_mode='PA_NZ'"
GATHER = "Tensor key_cache, Tensor value_cache, Tensor block_tables, Tensor seq_lens, "
GATHER_OPTIONS = "*, Tensor? seq_offset=None, bool is_seq_lens_cumsum=False"
LATENT = ("Tensor kv, Tensor gamma, Tensor cos, Tensor sin, Tensor index, Tensor{} k_cache, Tensor{} ckv_cache, *, "
          "Tensor? k_rope_scale=None, Tensor? c_kv_scale=None, Tensor? k_rope_offset=None, Tensor? c_kv_offset=None, "
          "Tensor? v=None, float epsilon=1e-5, str cache_mode='Norm', bool is_output_kv=False")
LATENT_TYPES = ", int? k_cache_dtype=None, int? ckv_cache_dtype=None"
SCHEMAS = {
    "npu_fusion_attention": v1() + f", Tensor? dropout_mask=None, int seed=0, int offset=0) -> {OUT7}",
    "npu_fusion_attention_grad": v1_grad() + ") -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "npu_fusion_attention_v2":
        "Tensor query, Tensor key, Tensor value, int head_num, str input_layout, *, " + MASKS + ROPES
        + "float scale=1., float keep_prob=1., " + V2_BAND + "int[]? prefix=None, " + LENGTHS + SYNC + V2_TAIL
        + f", Tensor? dropout_mask=None, int seed=0, int offset=0{SOFTCAP}) -> {OUT7}",
    "npu_fusion_attention_grad_v2":
        "Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, *, "
        + MASKS + STATISTICS + ROPES
        + "float scale_value=1., float keep_prob=1., " + V2_BAND + "int seed=0, int offset=0, int numels=0, "
        "int[]? prefix=None, " + LENGTHS + SYNC + V2_TAIL
        + SOFTCAP + ") -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    "npu_fusion_attention_v3": v1(TENSOR_LENGTHS) + ", *" + SOFTCAP
        + ") -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    "npu_fusion_attention_grad_v3":
        v1_grad(TENSOR_LENGTHS, "Tensor? seed=None, Tensor? offset=None, ") + SOFTCAP
        + ") -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "npu_prompt_flash_attention":
        "Tensor query, Tensor key, Tensor value, *, Tensor? padding_mask=None, Tensor? atten_mask=None, "
        "Tensor? pse_shift=None, int[]? actual_seq_lengths=None, " + SCALES.format("deq")
        + "int num_heads=1, float scale_value=1.0, int pre_tokens=2147483647, int next_tokens=0, "
        'str input_layout="BSH", int num_key_value_heads=0, int[]? actual_seq_lengths_kv=None, '
        "int sparse_mode=0) -> Tensor",
    "npu_incre_flash_attention":
        "Tensor query, Tensor key, Tensor value, *, Tensor? padding_mask=None, Tensor? atten_mask=None, "
        "Tensor? pse_shift=None, SymInt[]? actual_seq_lengths=None, Tensor? antiquant_scale=None, "
        "Tensor? antiquant_offset=None, Tensor? block_table=None, " + SCALES.format("dequant")
        + "Tensor? kv_padding_size=None, int num_heads=1, float scale_value=1.0, str input_layout=\"BSH\", "
        "int num_key_value_heads=0, int block_size=0, int inner_precise=1) -> Tensor",
    "npu_fused_infer_attention_score":
        "Tensor query, Tensor key, Tensor value, *, Tensor? pse_shift=None, Tensor? atten_mask=None, "
        "SymInt[]? actual_seq_lengths=None, SymInt[]? actual_seq_lengths_kv=None, " + SCALES.format("dequant")
        + "Tensor? antiquant_scale=None, Tensor? antiquant_offset=None, Tensor? key_antiquant_scale=None, "
        "Tensor? key_antiquant_offset=None, Tensor? value_antiquant_scale=None, Tensor? value_antiquant_offset=None, "
        "Tensor? block_table=None, Tensor? query_padding_size=None, Tensor? kv_padding_size=None, "
        "Tensor? key_shared_prefix=None, Tensor? value_shared_prefix=None, SymInt[]? actual_shared_prefix_len=None, "
        + ROPES + "Tensor? key_rope_antiquant_scale=None, int num_heads=1, float scale=1.0, int pre_tokens=2147483647, "
        'int next_tokens=2147483647, str input_layout="BSH", int num_key_value_heads=0, int sparse_mode=0, '
        "int inner_precise=0, int block_size=0, int antiquant_mode=0, int key_antiquant_mode=0, "
        "int value_antiquant_mode=0, bool softmax_lse_flag=False" + SOFTCAP + ") -> (Tensor, Tensor)",
    "npu_advance_step_flashattn":
        "Tensor(a!) input_tokens, Tensor sampled_token_ids, Tensor(b!) input_positions, Tensor(c!) seq_lens, "
        "Tensor(d!) slot_mapping, Tensor block_tables, int num_seqs, int num_queries, int block_size, *, "
        "Tensor? spec_token=None, Tensor? accepted_num=None) -> ()",
    "npu_scatter_pa_kv_cache":
        "Tensor key, Tensor value, Tensor(a!) key_cache, Tensor(b!) value_cache, " + SCATTER + ") -> ()",
    "npu_scatter_pa_kv_cache_functional":
        "Tensor key, Tensor value, Tensor key_cache, Tensor value_cache, " + SCATTER + ") -> (Tensor, Tensor)",
    "npu_scatter_pa_cache.value":
        f"Tensor key, Tensor slot_mapping, *, {COMPRESSION}, Tensor(a!) key_cache) -> Tensor(a!)",
    "_npu_reshape_and_cache":
        "Tensor key, Tensor value, Tensor(a!) key_cache, Tensor(b!) value_cache, Tensor slot_indices) -> ()",
    "_npu_reshape_and_cache_siso": "Tensor key, Tensor(a!) key_cache, Tensor slot_indices) -> ()",
    "npu_gather_pa_kv_cache": GATHER + "Tensor(a!) key, Tensor(b!) value, " + GATHER_OPTIONS + ") -> ()",
    "npu_gather_pa_kv_cache_functional":
        GATHER + "Tensor key, Tensor value, " + GATHER_OPTIONS + ") -> (Tensor, Tensor)",
    "npu_attention_update": "Tensor[] lse, Tensor[] local_out, int update_type) -> (Tensor, Tensor)",
    "npu_ring_attention_update":
        "Tensor prev_attn_out, Tensor prev_softmax_max, Tensor prev_softmax_sum, Tensor cur_attn_out, "
        "Tensor cur_softmax_max, Tensor cur_softmax_sum, *, Tensor? actual_seq_qlen=None, str input_layout=\"SBH\", "
        "str input_softmax_layout=\"\") -> (Tensor, Tensor, Tensor)",
    "npu_rotary_mul": "Tensor input, Tensor r1, Tensor r2, str rotary_mode='half', Tensor? rotate=None) -> Tensor",
    "npu_rotary_mul_backward":
        "Tensor grad, Tensor input, Tensor r1, Tensor r2, str rotary_mode='half') -> (Tensor, Tensor, Tensor)",
    "npu_interleave_rope": "Tensor x, Tensor cos, Tensor sin) -> Tensor",
    "npu_apply_rotary_pos_emb":
        "Tensor query, Tensor key, Tensor cos, Tensor sin, str layout='BSND', str rotary_mode='half') -> "
        "(Tensor, Tensor)",
    # torch_npu's does not say that it writes the caches.
    "npu_kv_rmsnorm_rope_cache": LATENT.format("(a!)", "(b!)") + ") -> (Tensor(a!), Tensor(b!), Tensor, Tensor)",
    "npu_kv_rmsnorm_rope_cache_v2": LATENT.format("(a!)", "(b!)") + LATENT_TYPES + ") -> (Tensor, Tensor)",
    "npu_kv_rmsnorm_rope_cache_v2_functional":
        LATENT.format("", "") + LATENT_TYPES + ") -> (Tensor, Tensor, Tensor, Tensor)",
}


ATB = "Tensor query, Tensor key_cache, Tensor value_cache, "
ATB_SCHEMAS = {
    "_npu_paged_attention":
        ATB + "int num_kv_heads, int num_heads, float scale_value, Tensor block_table, Tensor context_lens, "
        "Tensor(a!) out, *, Tensor? workspace=None) -> ()",
    "_npu_paged_attention_get_workspace":
        ATB + "int num_kv_heads, int num_heads, float scale_value, Tensor block_table, Tensor context_lens, "
        "Tensor(a!) out) -> Tensor",
    "_npu_paged_attention_v2.out":
        "Tensor query, Tensor key_cache, Tensor block_table, SymInt[] context_lens, *, Tensor? value_cache=None, "
        "Tensor? mask=None, int num_kv_heads=0, int num_heads=0, float scale_value=1.0, int mask_type=0, "
        "Tensor? workspace=None, Tensor(a!) out) -> Tensor(a!)",
    "_npu_paged_attention_v2_get_workspace":
        "Tensor query, Tensor key_cache, Tensor block_table, SymInt[] context_lens, *, Tensor? value_cache=None, "
        "Tensor? mask=None, int num_kv_heads=0, int num_heads=0, float scale_value=1.0, int mask_type=0, "
        "Tensor(a!) out) -> Tensor",
    "_npu_paged_attention_mla":
        "Tensor query, Tensor key_cache, int num_kv_heads, int num_heads, float scale_value, Tensor block_table, "
        "Tensor context_lens, int mla_vheadsize, Tensor(a!) out) -> ()",
    "_npu_paged_attention_splitfuse":
        ATB + "Tensor block_table, Tensor context_lens, Tensor mask, Tensor seq_len, int num_kv_heads, int num_heads, "
        "float scale_value, Tensor(a!) out) -> ()",
    "_npu_paged_attention_splitfuse_v2":
        ATB + "Tensor block_table, Tensor context_lens, Tensor mask, Tensor seq_len, int num_kv_heads, int num_heads, "
        "float scale_value, *, int? mask_type=5, Tensor(a!) out) -> ()",
    "_npu_flash_attention":
        "Tensor query, Tensor key, Tensor value, Tensor mask, Tensor seq_len, float scale_value, int num_heads, "
        "int num_kv_heads, Tensor(a!) out) -> ()",
    "_npu_flash_attention_v2.out":
        "Tensor query, Tensor key, Tensor value, SymInt[] seq_len, *, Tensor? mask=None, Tensor? slopes=None, "
        "int kernel_type=0, int mask_type=2, float scale_value=1, int num_heads=0, int num_kv_heads=0, "
        "Tensor(a!) out) -> Tensor(a!)",
    "_npu_flash_attention_v3":
        "Tensor query, Tensor key, Tensor value, Tensor mask, Tensor seq_len, float scale_value, int num_heads, "
        "int num_kv_heads, *, int? mask_type=3, Tensor(a!) out) -> ()",
    "_npu_flash_attention_unpad":
        "Tensor query, Tensor key, Tensor value, Tensor seq_len, float scale_value, int num_heads, int num_kv_heads, "
        "Tensor(a!) out) -> ()",
    "_npu_flash_attention_unpad_v2":
        "Tensor query, Tensor key, Tensor value, Tensor seq_len, float scale_value, int num_heads, int num_kv_heads, "
        "*, int? kernel_type=0, Tensor(a!) out) -> ()",
    "_npu_flash_attention_qlens":
        ATB + "Tensor block_table, Tensor mask, Tensor seq_len, Tensor context_lens, int num_kv_heads, int num_heads, "
        "float scale_value, Tensor(a!) out) -> ()",
    "_npu_flash_attention_prefix_v2.out":
        ATB + "Tensor block_table, Tensor mask, SymInt[] seq_len, SymInt[] context_lens, *, Tensor? slopes=None, "
        "int kernel_type=1, int mask_type=3, int num_kv_heads=0, int num_heads=0, float scale_value=1, "
        "Tensor(a!) out) -> Tensor(a!)",
}


def described(schema):
    arguments = [(a.name, str(a.type), a.default_value, a.kwarg_only, a.alias_info is not None)
                 for a in schema.arguments]
    return arguments, [str(r.type) for r in schema.returns]


@pytest.mark.parametrize("name", [*SCHEMAS, *ATB_SCHEMAS])
def test_schema(name):
    want = torch._C.parse_schema(f"npufa::{name}({(SCHEMAS | ATB_SCHEMAS)[name]}")
    packet = operator(name)
    assert described(getattr(packet, "default", packet)._schema) == described(want)
