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
    return ("Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, *, " + MASKS + STATISTICS
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
SCHEMAS = {
    "npu_fusion_attention": v1() + f", Tensor? dropout_mask=None, int seed=0, int offset=0) -> {OUT7}",
    "npu_fusion_attention_grad": v1_grad() + ") -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "npu_fusion_attention_v2":
        "Tensor query, Tensor key, Tensor value, int head_num, str input_layout, *, " + MASKS + ROPES
        + "float scale=1., float keep_prob=1., " + V2_BAND + "int[]? prefix=None, " + LENGTHS + SYNC + V2_TAIL
        + f", Tensor? dropout_mask=None, int seed=0, int offset=0{SOFTCAP}) -> {OUT7}",
    "npu_fusion_attention_grad_v2":
        "Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, *, " + MASKS + STATISTICS + ROPES
        + "float scale_value=1., float keep_prob=1., " + V2_BAND + "int seed=0, int offset=0, int numels=0, "
        "int[]? prefix=None, " + LENGTHS + SYNC + V2_TAIL
        + SOFTCAP + ") -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    "npu_fusion_attention_v3": v1(TENSOR_LENGTHS) + ", *" + SOFTCAP + ") -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    "npu_fusion_attention_grad_v3":
        v1_grad(TENSOR_LENGTHS, "Tensor? seed=None, Tensor? offset=None, ") + SOFTCAP
        + ") -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "npu_prompt_flash_attention":
        "Tensor query, Tensor key, Tensor value, *, Tensor? padding_mask=None, Tensor? atten_mask=None, "
        "Tensor? pse_shift=None, int[]? actual_seq_lengths=None, " + SCALES.format("deq")
        + "int num_heads=1, float scale_value=1.0, int pre_tokens=2147483647, int next_tokens=0, "
        'str input_layout="BSH", int num_key_value_heads=0, int[]? actual_seq_lengths_kv=None, int sparse_mode=0) -> Tensor',
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
}


def described(schema):
    arguments = [(a.name, str(a.type), a.default_value, a.kwarg_only, a.alias_info is not None) for a in schema.arguments]
    return arguments, [str(r.type) for r in schema.returns]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema(name):
    want = torch._C.parse_schema(f"npufa::{name}({SCHEMAS[name]}")
    assert described(operator(name).default._schema) == described(want)
