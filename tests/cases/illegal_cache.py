"""Illegal calls of the operators on paged caches."""

import torch

from .illegal_call import bad, normal

F16, I32 = torch.float16, torch.int32


def _slots(*values):
    return torch.tensor(values, dtype=I32)


def scatter(**extra):
    """T 5, N 2, D 16, Dv 32; 3 blocks of 4 tokens."""
    return dict(key=normal(5, 2, 16), value=normal(5, 2, 32), key_cache=normal(3, 4, 2, 16),
                value_cache=normal(3, 4, 2, 32), slot_mapping=torch.tensor([3, -1, 11, 0, 7], dtype=I32), **extra)


def nz():
    return scatter() | dict(key_cache=normal(3, 2, 4, 16), value_cache=normal(3, 2, 2, 4, 16))


def compressed(**extra):
    """B 2, S 5, N 2, D 16, Dv 32; 6 blocks of 4 tokens."""
    return dict(key=normal(2, 5, 2, 16), value=normal(2, 5, 2, 32), key_cache=normal(6, 4, 1, 16),
                value_cache=normal(6, 4, 1, 32), slot_mapping=_slots(0, 5, 10, 15).view(2, 2),
                compress_lens=_slots(2, 1, 3, 2).view(2, 2), seq_lens=_slots(5, 4), **extra)


def reshape():
    kw = scatter()
    return {"slot_indices": kw.pop("slot_mapping"), **kw}


def without_value(kw):
    return {name: value for name, value in kw.items() if "value" not in name}


SCATTER, RESHAPE = "npu_scatter_pa_kv_cache", "_npu_reshape_and_cache"
BASES = {
    "scatter": lambda: (SCATTER, scatter(cache_mode="Norm")),
    "scatter NZ": lambda: (SCATTER, nz()),
    "scatter functional": lambda: (SCATTER + "_functional", nz()),
    "scatter keys": lambda: ("npu_scatter_pa_cache.value", without_value(scatter())),
    "compressed": lambda: (SCATTER, compressed(cache_mode="Norm")),
    "compressed keys": lambda: ("npu_scatter_pa_cache.value", without_value(compressed())),
    "reshape": lambda: (RESHAPE, reshape()),
    "reshape keys": lambda: (RESHAPE + "_siso", without_value(reshape())),
}


def _common(base, slots="slot_mapping"):
    return [
        bad(base, "key", key=normal(5, 2, 16, dtype=torch.float64)),
        bad(base, "key", key=normal(5, 2, 16, dtype=torch.int64)),
        bad(base, "key", key=normal(5, 32)),
        bad(base, "key" if "reshape" in base else ("value", "slot_mapping"), key=normal(5, 1, 2, 16)),
        bad(base, "key_cache", key_cache=normal(3, 4, 2, 16, dtype=torch.bfloat16)),
        bad(base, "key_cache", key_cache=normal(3, 4, 32)),
        bad(base, "key_cache", key_cache=normal(3, 4, 2, 24)),
        bad(base, slots, **{slots: _slots(0, 1, 2, 3)}),
        bad(base, slots, **{slots: _slots(0, 1, 2, 3, 4)[:, None]}),
        bad(base, slots, **{slots: torch.zeros(5)}),
        bad(base, slots, **{slots: torch.zeros(5, dtype=torch.int16)}),
        bad(base, slots, True, **{slots: _slots(0, 1, 12, 3, 4)}),
        bad(base, slots, True, **{slots: torch.tensor([0, 1, 2**32, 3, 4])}),
    ]


def _both(base):
    return [
        bad(base, "value", value=normal(4, 2, 32)),
        bad(base, "value", value=normal(5, 64)),
        bad(base, "value_cache", value_cache=normal(3, 4, 2, 32, dtype=torch.float32)),
        bad(base, "value_cache", value_cache=normal(2, 4, 2, 32)),
        bad(base, "value_cache", value_cache=normal(3, 5, 2, 32)),
    ]


def _compressed(base):
    return [
        bad(base, "key_cache", key_cache=normal(6, 4, 2, 16)),
        bad(base, "slot_mapping", slot_mapping=_slots(0, 5, 10, 15)),
        bad(base, "slot_mapping", slot_mapping=torch.zeros(2, 2)),
        bad(base, "slot_mapping", True, slot_mapping=_slots(0, 5, 10, 23).view(2, 2)),
        bad(base, "compress_lens", compress_lens=None),
        bad(base, "compress_lens", compress_lens=_slots(1, 2, 3)),
        bad(base, "seq_lens", seq_lens=None),
        bad(base, "seq_lens", seq_lens=_slots(1, 2, 3, 4)),
        bad(base, "compress_seq_offsets", compress_seq_offsets=_slots(1, 2)),
        bad(base, "compress_seq_offsets", compress_seq_offsets=torch.ones(2, 2)),
        bad(base, "key", compress_seq_offsets=_slots(0, 0, 0, 0), key=normal(2, 5, 2, 16, dtype=torch.int8)),
    ]


CALLS = [
    *_compressed("compressed"), *_compressed("compressed keys"),
    bad("compressed", "value", value=normal(2, 5, 1, 32)),
    bad("compressed", "value", value=normal(5, 2, 32)),
    bad("compressed", "cache_mode", cache_mode="PA_NZ"),
    *_common("scatter"), *_both("scatter"), *_common("scatter keys"), *_common("reshape", "slot_indices"),
    *_both("reshape"), *_common("reshape keys", "slot_indices"),
    bad("scatter", "cache_mode", cache_mode="BNSD"),
    bad("scatter", "key_cache", cache_mode="PA_NZ"),
    bad("scatter NZ", "key_cache", cache_mode="Norm"),
    bad("scatter NZ", "key_cache", key_cache=normal(3, 1, 4, 32)),
    bad("scatter NZ", "key_cache", key_cache=normal(3, 3, 4, 16)),
    bad("scatter NZ", "value_cache", value_cache=normal(3, 4, 5, 16)),
    bad("scatter NZ", "slot_mapping", True, slot_mapping=_slots(0, 1, 12, 3, 4)),
    *(bad(base, name, **{name: _slots(1)}) for base in ("scatter", "scatter NZ", "scatter keys")
      for name in ("compress_lens", "compress_seq_offsets", "seq_lens")),
]
