"""flash_attn's module names, as clients import and inspect them."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import pickle
import sys
import types
from collections.abc import Iterator

import pytest
import torch

import npufa.flash_attn as fa

# Argument names in the order of Dao-AILab/flash-attention 2.8.3 and its hopper/ folder.
COMMON = "dropout_p softmax_scale causal window_size softcap alibi_slopes deterministic return_attn_probs"
CACHE = "rotary_cos rotary_sin cache_seqlens cache_batch_idx cache_leftpad"
LENGTHS = "cu_seqlens_q cu_seqlens_k max_seqlen_q max_seqlen_k"
DESCALE = "q_descale k_descale v_descale"
TUNING = "num_splits pack_gqa deterministic sm_margin return_attn_probs"
SIGNATURES = {
    ("flash_attn", "flash_attn_func"): f"q k v {COMMON}",
    ("flash_attn", "flash_attn_kvpacked_func"): f"q kv {COMMON}",
    ("flash_attn", "flash_attn_qkvpacked_func"): f"qkv {COMMON}",
    ("flash_attn", "flash_attn_varlen_func"): f"q k v {LENGTHS} {COMMON} block_table",
    ("flash_attn", "flash_attn_varlen_kvpacked_func"): f"q kv {LENGTHS} {COMMON}",
    ("flash_attn", "flash_attn_varlen_qkvpacked_func"): f"qkv cu_seqlens max_seqlen {COMMON}",
    ("flash_attn", "flash_attn_with_kvcache"):
        f"q k_cache v_cache k v {CACHE} block_table softmax_scale causal window_size softcap rotary_interleaved "
        "alibi_slopes num_splits return_softmax_lse",
    ("flash_attn_npu_v3", "flash_attn_func"):
        f"q k v softmax_scale causal qv {DESCALE} window_size attention_chunk softcap {TUNING} scheduler_metadata",
    ("flash_attn_npu_v3", "flash_attn_varlen_func"):
        f"q k v {LENGTHS} seqused_q seqused_k softmax_scale causal qv {DESCALE} window_size attention_chunk softcap "
        f"{TUNING} scheduler_metadata",
    ("flash_attn_npu_v3", "flash_attn_with_kvcache"):
        f"q k_cache v_cache k v qv {CACHE} page_table cu_seqlens_q cu_seqlens_k_new max_seqlen_q rotary_seqlens "
        f"{DESCALE} softmax_scale causal window_size attention_chunk softcap rotary_interleaved scheduler_metadata "
        "num_splits pack_gqa sm_margin return_softmax_lse",
    ("flash_attn_npu_v3", "get_scheduler_metadata"):
        "batch_size max_seqlen_q max_seqlen_k num_heads_q num_heads_kv headdim cache_seqlens qkv_dtype headdim_v "
        "cu_seqlens_q cu_seqlens_k_new cache_leftpad page_size max_seqlen_k_new causal window_size attention_chunk "
        "has_softcap num_splits pack_gqa sm_margin",
    ("flash_attn.bert_padding", "unpad_input"): "hidden_states attention_mask unused_mask",
    ("flash_attn.bert_padding", "pad_input"): "hidden_states indices batch seqlen",
    ("flash_attn.bert_padding", "index_first_axis"): "input indices",
    ("flash_attn.layers.rotary", "apply_rotary_emb"):
        "x cos sin interleaved inplace seqlen_offsets cu_seqlens max_seqlen",
    ("flash_attn.layers.rotary", "apply_rotary_emb_qkv_"):
        "qkv cos sin cos_k sin_k interleaved seqlen_offsets num_heads_q",
    ("flash_attn.layers.rotary", "apply_rotary_emb_kv_"): "kv cos sin interleaved seqlen_offsets",
    ("flash_attn.ops.triton.rotary", "apply_rotary"):
        "x cos sin seqlen_offsets cu_seqlens max_seqlen interleaved inplace conjugate",
}
# What the arguments that need not be given are without; None for those not listed.
DEFAULTS = {
    "dropout_p": 0.0, "softcap": 0.0, "causal": False, "window_size": (-1, -1), "deterministic": False,
    "return_attn_probs": False, "return_softmax_lse": False, "attention_chunk": 0, "num_splits": 0, "sm_margin": 0,
    "rotary_interleaved": True, "interleaved": False, "inplace": False, "seqlen_offsets": 0, "has_softcap": False,
    "max_seqlen_k_new": 0, "qkv_dtype": torch.bfloat16, "conjugate": False,
}
FIRST_OPTIONAL = {  # from here on arguments need not be given
    "flash_attn_with_kvcache": "k", "unpad_input": "unused_mask", "apply_rotary_emb": "interleaved",
    "apply_rotary_emb_qkv_": "cos_k", "apply_rotary_emb_kv_": "interleaved", "get_scheduler_metadata": "qkv_dtype",
    "pad_input": None, "index_first_axis": None, "apply_rotary": "seqlen_offsets",
}


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    fa.install()
    yield
    fa.uninstall()


@pytest.mark.parametrize("module, function", SIGNATURES)
def test_positional_arguments_have_their_order(module: str, function: str) -> None:
    found = getattr(importlib.import_module(module), function)
    parameters = inspect.signature(found).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == SIGNATURES[module, function].split()


@pytest.mark.parametrize("module, function", SIGNATURES)
def test_defaults(module: str, function: str) -> None:
    parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    names = SIGNATURES[module, function].split()
    of_version_3 = module == "flash_attn_npu_v3"
    of_attention = ("seqused_q" if "varlen" in function else "softmax_scale") if of_version_3 else "dropout_p"
    first = FIRST_OPTIONAL.get(function, of_attention)
    required = names if first is None else names[:names.index(first)]
    defaults = DEFAULTS | ({"num_splits": 1} if of_version_3 and function.endswith("_func") else {})
    expected = {n: inspect.Parameter.empty if n in required else defaults.get(n) for n in names}
    assert {n: parameters[n].default for n in names} == expected


def test_imports() -> None:
    import flash_attn
    import flash_attn_npu_v3
    from flash_attn import bert_padding, flash_attn_func
    from flash_attn.flash_attn_interface import flash_attn_varlen_func
    from flash_attn.layers.rotary import apply_rotary_emb
    from flash_attn_npu import flash_attn_with_kvcache

    assert flash_attn.flash_attn_func is flash_attn_func is fa.flash_attn_func
    assert flash_attn_varlen_func is fa.flash_attn_varlen_func
    assert flash_attn_npu_v3.flash_attn_func is fa.v3.flash_attn_func
    assert flash_attn_with_kvcache is fa.flash_attn_with_kvcache and apply_rotary_emb is fa.rotary.apply_rotary_emb
    assert bert_padding.pad_input is fa.bert_padding.pad_input and flash_attn.bert_padding is bert_padding
    assert pickle.loads(pickle.dumps(flash_attn_func)) is flash_attn_func
    from flash_attn.flash_attn_interface import _flash_attn_forward, _wrapped_flash_attn_backward
    assert _flash_attn_forward is fa.halves.flash_attn_forward
    assert _wrapped_flash_attn_backward is fa.halves.flash_attn_backward
    assert not [n for n in ("_flash_attn_forward", "Settings", "Tensor") if hasattr(flash_attn, n)]
    with pytest.raises(ImportError):
        import flash_attn.losses  # noqa: F401


@pytest.mark.parametrize("package, version", [("flash_attn", "2.8.3"), ("flash_attn_npu", "0.3.0"),
                                              ("flash_attn_npu_v3", "0.3.0")])
def test_versions_where_clients_look(package: str, version: str) -> None:
    assert importlib.import_module(package).__version__ == version
    assert importlib.metadata.version(package) == importlib.metadata.version(package.replace("_", "-")) == version
    assert importlib.util.find_spec(package) is not None
    assert importlib.metadata.packages_distributions()[package] == [package]
    assert package in {d.metadata["Name"] for d in importlib.metadata.distributions()}


def test_transformers_takes_the_version() -> None:
    imports = pytest.importorskip("transformers.utils.import_utils")
    assert imports._is_package_available("flash_attn", return_version=True) == (True, "2.8.3")
    imports.is_flash_attn_greater_or_equal.cache_clear()
    imports._package_distribution_mapping.cache_clear()
    try:
        assert imports.is_flash_attn_greater_or_equal("2.3.3")
    finally:
        imports.is_flash_attn_greater_or_equal.cache_clear()
        imports._package_distribution_mapping.cache_clear()


def test_uninstall_leaves_nothing() -> None:
    fa.install()  # a second call does nothing
    fa.uninstall()
    assert not fa.installed() and not [name for name in sys.modules if name.startswith("flash_attn.")]
    assert importlib.util.find_spec("flash_attn_npu") is None
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("flash_attn")
    fa.uninstall()


def test_a_module_of_that_name_comes_back() -> None:
    fa.uninstall()
    theirs, part = types.ModuleType("flash_attn"), types.ModuleType("flash_attn.part")
    sys.modules |= {"flash_attn": theirs, "flash_attn.part": part}
    try:
        fa.install()
        assert sys.modules["flash_attn"] is not theirs and "flash_attn.part" not in sys.modules
        fa.uninstall()
        assert sys.modules["flash_attn"] is theirs and sys.modules["flash_attn.part"] is part
    finally:
        sys.modules.pop("flash_attn", None)
        sys.modules.pop("flash_attn.part", None)


def test_padding_goes_and_comes_back() -> None:
    from flash_attn.bert_padding import (
        index_first_axis,
        pad_input,
        unpad_input,
        unpad_input_for_concatenated_sequences,
    )

    states = torch.randn(2, 4, 3, 8, requires_grad=True)
    mask = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]])
    tokens, indices, cu_seqlens, longest, used = unpad_input(states, mask)
    assert torch.equal(tokens, states[mask.bool()]) and cu_seqlens.tolist() == [0, 2, 5] and longest == 3
    assert cu_seqlens.dtype == used.dtype == torch.int32 and used.tolist() == [2, 3]
    padded = pad_input(tokens, indices, 2, 4)
    assert torch.equal(padded, states * mask[..., None, None])
    assert torch.equal(torch.autograd.grad(padded.sum(), states)[0], mask[..., None, None].expand(2, 4, 3, 8).float())
    assert torch.equal(index_first_axis(states.flatten(0, 1), indices), tokens)
    _, _, with_unused, _, used = unpad_input(states, mask, torch.tensor([[0, 0, 1, 0], [0, 0, 0, 0]]))
    assert with_unused.tolist() == [0, 3, 6] and used.tolist() == [2, 3]
    tokens, _, cu_seqlens, longest = unpad_input_for_concatenated_sequences(
        states, torch.tensor([[1, 2, 0, 0], [4, 0, 0, 0]]))
    assert torch.equal(tokens, states.flatten(0, 1)[[0, 1, 2, 4, 5, 6, 7]])
    assert cu_seqlens.tolist() == [0, 1, 3, 7] and longest == 4
