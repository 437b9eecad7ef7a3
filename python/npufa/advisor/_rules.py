"""The rules of the advisor: each looks at a legal call and yields what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..robust._call import HEAD_AXIS, TOKEN_AXIS, Call, host_list
from ._finding import Finding
from ._masks import recognise

Rule = Callable[[Call], Iterator[Finding]]
# A cache that fits into the 192 MB of L2 of these chips gains less.
QUANTISE_FROM = 64 << 20
PADDING_FROM = 0.3
SAMPLED = 1 << 20  # elements up to which key and value are compared as a whole


def head_dim(call: Call) -> int:
    """D."""
    size = int(call.query.shape[-1])
    return size // int(call["heads"]) if call.layout in ("BSH", "SBH") else size


def _bytes(*tensors: Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _key_lengths(call: Call) -> object:
    return call["actual_seq_lengths" if call.operator == "npu_incre_flash_attention" else "kv_lengths"]


def layout(call: Call) -> Iterator[Finding]:
    name = call["input_layout"]
    if name in ("BSH", "SBH", "BSND"):
        yield Finding("info", "layout", f"input_layout is {name}: npufa reads its rows where they are, in the modelled "
                      "time of BNSD; a transposition would gain nothing",
                      "leave it; torch_npu's guide prefers BNSD or TND",
                      "input_layout")


def alignment(call: Call) -> Iterator[Finding]:
    size = head_dim(call)
    if size % 16:
        aligned = -(-size // 16) * 16
        yield Finding("info", "head_dim", f"head_dim {size} is no multiple of 16: the NPU's cube computes it as "
                      f"{aligned}, in the same modelled time", f"keep it for a given model, use {aligned} in a new "
                      "one; torch_npu asks for a multiple of 16", "query")


def mask(call: Call) -> Iterator[Finding]:
    given, mode = call["atten_mask"], call["sparse_mode"] or 0
    if given is None:
        return
    if call.has_compressed_mask:
        yield Finding("info", "compressed_mask", f"atten_mask is not read with sparse_mode {mode}", "pass None",
                      "atten_mask", _bytes(given))
        return
    unlimited = mode != 0 or min(call["pre"] or 0, call["next"] or 0) >= max(given.shape[-2:])
    if call.is_packed or call.is_decode or call["block_table"] is not None or not given.numel():
        return
    if not unlimited or call["key_shared_prefix"] is not None or not (call.rows and _keys(call)):
        return
    rule = recognise(given, call.rows, _keys(call))
    inverse = recognise(~given.bool(), call.rows, _keys(call))
    if inverse is not None and inverse.causal:
        meant = rule.arguments if rule is not None else "the mask as it is"
        yield Finding("warning", "inverted_mask", "atten_mask looks inverted: 1 means masked out, the opposite of "
                      "scaled_dot_product_attention, so that rows see the keys a causal mask hides",
                      f"pass {inverse.arguments} (the same as atten_mask=~atten_mask) if 1 is to keep a pair; pass "
                      f"{meant} if 1 is to mask it out", "atten_mask", _bytes(given))
    elif rule is not None:
        compared = "" if rule.whole else " in the rows compared (first, last and 64 others)"
        yield Finding("warning", "dense_mask", f"atten_mask equals {rule.arguments}{compared}",
                      f"pass {rule.arguments}: tiles that are masked out are skipped, and no mask is read",
                      "atten_mask", _bytes(given))


def _keys(call: Call) -> int:
    return int(call["key"].shape[TOKEN_AXIS[call.layout]])


def additive_mask(call: Call) -> Iterator[Finding]:
    bias = call["bias"]
    if bias is None or bias.dim() != 4 or bias.numel() > 1 << 24:
        return
    if bool(((bias == 0) | (bias <= torch.finfo(bias.dtype).min / 2)).all()):
        name = call.spelling("bias")
        yield Finding("warning", "additive_mask", f"{name} holds only 0 and -inf: it is a mask in "
                      f"{bias.element_size()} bytes per pair",
                      f"pass atten_mask={name} < 0, or the sparse_mode it equals",
                      name, _bytes(bias) - bias.numel())


def page_size(call: Call) -> Iterator[Finding]:
    size = call["block_size"]
    if call["block_table"] is not None and size % 16:
        yield Finding("warning", "block_size", f"block_size {size} is no multiple of 16: blocks are read in pieces, "
                      "and torch_npu refuses them", "use 16, or 128 for the longest reads", "block_size")


def dtype(call: Call) -> Iterator[Finding]:
    on_npu = call.query.device.type == "npu"
    if call.query.dtype == torch.float32:
        yield Finding("warning" if on_npu else "info", "float32", "query is float32: the NPU's cube multiplies it at a "
                      "quarter of the rate of float16, and tensors take twice the memory", "use bfloat16 or float16",
                      "query", _bytes(call.query, call["key"], call["value"]) // 2)


def scale(call: Call) -> Iterator[Finding]:
    if call["scale"] == 1.0 and call.query.dtype != torch.int8:
        name = call.spelling("scale")
        yield Finding("warning", "scale", f"{name} is 1.0, the default", f"pass {name}={head_dim(call)} ** -0.5, "
                      "unless query is scaled already", name)


def repeated_heads(call: Call) -> Iterator[Finding]:
    key, value = call["key"], call["value"]
    heads = call.kv_heads
    if heads < 2 or call["block_table"] is not None or not key.numel() or key.dtype == torch.int32:
        return
    for group in range(heads, 1, -1):
        if heads % group == 0 and all(_repeats(call, t, heads, group) for t in (key, value)):
            count = "num_key_value_heads" if "num_key_value_heads" in call.arguments else "the heads of key and value"
            yield Finding("warning", "repeated_heads", f"each {group} key/value heads are the same", f"pass one of "
                          f"each: the operators share them among query heads ({count} = {heads // group})", "key",
                          _bytes(key, value) * (group - 1) // group)
            return


def _repeats(call: Call, tensor: Tensor, heads: int, group: int) -> bool:
    if call.layout in ("BSH", "SBH"):
        tensor = tensor.unflatten(2, (heads, -1))
    tensor = tensor.movedim(HEAD_AXIS[call.layout], 0)
    tensor = tensor.unflatten(0, (heads // group, group))
    if tensor.numel() > SAMPLED:
        # Of large tensors about a million elements: what differs does so nearly everywhere.
        tensor = tensor[..., ::tensor.numel() // SAMPLED + 1, :]
    return bool((tensor == tensor[:, :1]).all())


def dropout(call: Call) -> Iterator[Finding]:
    if (call["keep_prob"] or 1.0) < 1 and not _trains(call):
        yield Finding("warning", "dropout", f"keep_prob is {call['keep_prob']} in a call without gradient",
                      "pass keep_prob=1.0 for inference", "keep_prob")


def _trains(call: Call) -> bool:
    return torch.is_grad_enabled() and any(call[name].requires_grad for name in ("query", "key", "value"))


def training_operator(call: Call) -> Iterator[Finding]:
    if call.is_training and not call.is_gradient and not _trains(call) and head_dim(call) <= 512:
        yield Finding("info", "operator", f"{call.operator} computes statistics for a gradient that nobody asks for",
                      "use npu_fused_infer_attention_score for inference", "operator")


def strides(call: Call) -> Iterator[Finding]:
    for name in ("query", "key", "value"):
        tensor = call[name]
        if tensor.is_contiguous():
            continue
        if tensor.dim() and tensor.stride(-1) != 1:
            yield Finding("warning", "strides", f"{name} has stride {tensor.stride(-1)} in its last dimension: every "
                          "call copies it", f"keep {name} with contiguous channels", name, _bytes(tensor))
        elif tensor.device.type == "cpu":
            yield Finding("info", "strides", f"{name} is not contiguous, its channels are: the CPU kernels read it in "
                          "place", "leave it", name)


def sync(call: Call) -> Iterator[Finding]:
    if call["sync"]:
        yield Finding("info", "sync", "sync=True makes no difference in npufa; torch_npu waits for the dropout mask",
                      "leave it at False", "sync")


def quantise(call: Call) -> Iterator[Finding]:
    key, value = call["key"], call["value"]
    decode = not call.is_training and not call.is_packed and call.rows == 1
    if decode and key.dtype in (torch.float16, torch.bfloat16) and _bytes(key, value) >= QUANTISE_FROM:
        yield Finding("info", "quantise", f"a decode step reads a cache of {_bytes(key, value) >> 20} MiB and is bound "
                      "by that: modelled on Ascend910B3 an int8 cache is 1.86 times as fast",
                      "store the cache as int8 with scales (npufa.quantization)", "key", _bytes(key, value) // 2)


def padding(call: Call) -> Iterator[Finding]:
    lengths, rows = call["q_lengths"], call.rows
    if call.is_packed or call.is_decode or lengths is None or call.sequences < 2 or not rows:
        return
    used = host_list(lengths)
    used = (used * call.sequences if len(used) == 1 else used)[:call.sequences]
    share = 1 - sum(used) / (rows * call.sequences)
    if share >= PADDING_FROM:
        yield Finding("info", "padding", f"{share:.0%} of the query tokens are padding; the kernels skip it, but it is "
                      "stored and computed by every other layer", "pack the batch: input_layout TND with cumulative "
                      "lengths", "query", int(_bytes(call.query) * share))


def captured_lengths(call: Call, graph: bool) -> Iterator[Finding]:
    capturing = graph or (call.query.device.type == "npu" and torch.npu.is_current_stream_capturing())  # type: ignore[attr-defined]
    lengths = [n for n in (call["q_lengths"], _key_lengths(call)) if n is not None]
    if capturing and any(not isinstance(n, Tensor) for n in lengths):
        yield Finding("warning", "captured_lengths", "lengths are numbers: a captured graph keeps those of the capture",
                      "pass int64 tensors on the NPU, which replays read" + (
                          " (npu_fusion_attention_v3)" if call.is_training else ""), "actual_seq_lengths")


RULES: tuple[Rule, ...] = (
    layout, alignment, mask, additive_mask, page_size, dtype, scale, repeated_heads, dropout, training_operator,
    strides, sync, quantise, padding)
