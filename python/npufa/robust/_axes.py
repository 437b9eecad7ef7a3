"""Where the sequences and the heads of an attention call's tensors are."""

from __future__ import annotations

from torch import Tensor

from ._cache import head_axis
from ._call import BATCH_AXIS, HEAD_AXIS, TOKEN_AXIS, Call

_QUERY_SIDE = ("query", "query_rope", "dequant_scale_query", "dy", "attention_in")
_KV_SIDE = ("key", "value", "key_rope", "key_shared_prefix", "value_shared_prefix")
_STATISTICS = ("softmax_max", "softmax_sum", "statistics", "lse")
# Batch stays an axis of these in a packed batch.
_BATCHED = ("atten_mask", "pse", "pse_shift", "block_table")
_SCALES = (
    "antiquant_scale", "antiquant_offset", "key_antiquant_scale", "key_antiquant_offset", "value_antiquant_scale",
    "value_antiquant_offset", "key_rope_antiquant_scale", "dequant_scale_key", "dequant_offset_key",
    "dequant_scale_value", "dequant_offset_value", "quant_scale2", "quant_offset2", "quant_scale_out",
    "quant_offset_out")
_MODES = {
    "antiquant": "antiquant_mode", "key_antiquant": "key_antiquant_mode", "value_antiquant": "value_antiquant_mode",
    "dequant_scale_key": "key_quant_mode", "dequant_offset_key": "key_quant_mode",
    "dequant_scale_value": "value_quant_mode", "dequant_offset_value": "value_quant_mode"}
_PER_TOKEN = (1, 3)


class CannotSplitError(RuntimeError):
    """A call cannot be cut; the message names the argument."""


def units(kind: str) -> tuple[str, ...]:
    """Names of the arguments that have key/value heads ("kv"), or an axis of sequences even when packed ("batch")."""
    return {"kv": _KV_SIDE, "batch": _BATCHED}[kind]


def heads_first(call: Call) -> bool:
    """True when the statistics of a packed sequence are stored head by head."""
    return call.is_packed and call.is_training and call["softmax_layout"] != "TND"


def check(call: Call, kind: str) -> None:
    """Raises CannotSplitError for an argument that cannot be cut by sequences ("batch") or "heads"."""
    if call["dropout_mask"] is not None and call["keep_prob"] < 1:
        raise _error("dropout_mask is given", "None and a seed")
    if call.operator == "npu_fusion_attention_v3" and call["keep_prob"] < 1:
        raise _error(f"keep_prob of v3, which draws its own seed, is {call['keep_prob']}", "1, or v1 and v2")
    for name in _SCALES:
        if call[name] is not None and not _can_be_shared(call, name, call[name], kind):
            raise _error(f"{name} has shape {tuple(call[name].shape)}",
                         "one scale per tensor" + (" or channel" if kind == "batch" else ""))
    if kind == "heads" and heads_first(call) and call.sequences > 1:
        raise _error(f"softmax_layout is {call['softmax_layout']!r} with {call.sequences} sequences", "'TND'")
    if kind == "batch" and call.is_packed and call["bias"] is not None and call["bias"].dim() == 4 and (
            call["bias"].shape[2] == 1024 < max(call.packed("q_lengths").lengths, default=0)):
        raise _error(f"{call.spelling('bias')} counts from the longest sequence, got 1024 rows", "all rows")


def _can_be_shared(call: Call, name: str, scale: Tensor, kind: str) -> bool:
    """True for a scale that both halves take as it is."""
    combined = name.startswith("antiquant")
    if kind == "heads":
        return scale.numel() == (2 if combined else 1)
    if call.operator == "npu_incre_flash_attention" and combined:
        # (2, B, Skv) per token; (2, Nkv, D) per channel.
        return scale.dim() != 3 or tuple(scale.shape[1:]) == (call.kv_heads, _head_dim(call))
    mode = next((call[mode] for start, mode in _MODES.items() if name.startswith(start)), None)
    return mode not in _PER_TOKEN


def _head_dim(call: Call) -> int:
    return int(call.query.shape[-1]) // (call["heads"] if call.layout in ("BSH", "SBH") else 1)


def _error(what: str, expected: str) -> CannotSplitError:
    return CannotSplitError(f"npufa.robust: {what}; expected {expected} for a call to be split when memory is lacking")


def axis_of(call: Call, name: str, tensor: Tensor, kind: str) -> int | None:
    """The axis of an argument (or of "output", "lse", "statistics") along which a cut by "batch" or "heads" goes.

    The batch axis of packed tensors is that of the tokens. None for tensors that halves share.
    """
    if name in _QUERY_SIDE or name in _KV_SIDE:
        return _of_input(call, name, tensor, kind)
    if name == "output":
        return _of_layout(call.output_layout, kind)
    if name in _STATISTICS:
        return 0 if kind == "batch" else 1
    if name == "atten_mask":
        return _of_mask(call, tensor, kind)
    if name in ("pse", "pse_shift"):
        if tensor.dim() == 1:
            return 0 if kind == "heads" else None
        return 1 if kind == "heads" else 0 if tensor.shape[0] > 1 else None
    if name in ("sink", "learnable_sink"):
        return 0 if kind == "heads" else None
    return 0 if name == "block_table" and kind == "batch" else None


def _of_input(call: Call, name: str, tensor: Tensor, kind: str) -> int | None:
    if name in _KV_SIDE and call["block_table"] is not None:
        return head_axis(call, tensor) if kind == "heads" else None
    if name.endswith("_shared_prefix") and kind == "batch":
        return None
    return _of_layout(call.layout, kind)


def _of_layout(layout: str, kind: str) -> int:
    if kind == "heads":
        return HEAD_AXIS[layout]
    return BATCH_AXIS[layout] if layout in BATCH_AXIS else TOKEN_AXIS[layout]


def _of_mask(call: Call, mask: Tensor, kind: str) -> int | None:
    if call.has_compressed_mask or mask.dim() < (2 if call.is_decode else 3):
        return None
    if kind == "batch":
        return 0 if mask.shape[0] > 1 else None
    return 1 if mask.dim() == 4 and mask.shape[1] > 1 else None
