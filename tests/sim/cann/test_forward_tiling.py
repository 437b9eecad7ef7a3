"""Work partition of the forward kernels, checked against the rules written out element by element."""

import ctypes
import itertools
import random

import numpy as np
import pytest
from sim.cann.aclnn import ops

MAX_GROUPS = 32
UNBOUNDED = 2**31 - 1


class Strides(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("batch", "head", "token")]


class Tiling(ctypes.Structure):
    _fields_ = (
        [
            (name, ctypes.c_uint32)
            for name in (
                "batch",
                "heads",
                "group_size",
                "q_tokens",
                "kv_tokens",
                "head_dim",
                "value_dim",
                "tile_rows",
                "step_columns",
                "q_lengths",
                "kv_lengths",
                "begin_follows_corner",
                "end_follows_corner",
                "bias_rows",
            )
        ]  # fmt: skip
        + [
            ("scale", ctypes.c_float),
            ("product_pitch", ctypes.c_uint32),
            ("begin_shift", ctypes.c_int64),
            ("end_shift", ctypes.c_int64),
        ]
        + [(name, Strides) for name in ("query", "key", "value", "output", "mask", "bias")]
        + [(name, ctypes.c_uint64) for name in ("score_bytes", "probability_bytes", "product_bytes")]
        + [("first_tile", ctypes.c_uint64 * (MAX_GROUPS + 1))]
    )


class Call(ctypes.Structure):
    _fields_ = (
        [("layout", ctypes.c_char_p)]
        + [(name, ctypes.c_int64) for name in ("heads", "kv_heads", "mode", "pre", "next")]
        + [(name, ctypes.c_int64 * 4) for name in ("query", "key", "value", "mask", "bias")]
        + [(name, ctypes.c_int64 * 8) for name in ("lengths", "kv_lengths")]
    )


ops.test_fill_tiling.restype = ctypes.c_char_p


def padded(values, count):
    values = list(values or [])
    return (ctypes.c_int64 * count)(*(values + [-1] * (count - len(values))))


def shape(layout, batch, heads, tokens, channels):
    return {
        "BSH": (batch, tokens, heads * channels),
        "BSND": (batch, tokens, heads, channels),
        "BNSD": (batch, heads, tokens, channels),
    }[layout]


def fill(
    layout="BNSD", batch=2, heads=4, kv_heads=2, q=300, kv=500, dim=128, value_dim=None, *, mode=0, pre=UNBOUNDED,
    next=0, mask=None, bias=None, lengths=None, kv_lengths=None, cores=20,
):  # fmt: skip
    """Tiling and (tiling key, block dim, workspace bytes)."""
    read, value_dim = layout.split("_")[0], value_dim or dim
    call = Call(
        layout.encode(), heads, kv_heads, mode, pre, next, padded(shape(read, batch, heads, q, dim), 4),
        padded(shape(read, batch, kv_heads, kv, dim), 4), padded(shape(read, batch, kv_heads, kv, value_dim), 4),
        padded(mask, 4), padded(bias, 4), padded(lengths, 8), padded(kv_lengths, 8),
    )  # fmt: skip
    tiling, launch = Tiling(), (ctypes.c_uint64 * 3)()
    error = ops.test_fill_tiling(ctypes.byref(call), cores, ctypes.byref(tiling), launch)
    if error:
        raise ValueError(error.decode())
    return tiling, tuple(launch)


def offset(strides, batch, head, token):
    return strides.batch * batch + strides.head * head + strides.token * token


@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD", "BNSD_BSND"])
def test_strides_find_every_row(layout):
    batch, heads, kv_heads, q, kv, dim, value_dim = 3, 6, 2, 5, 7, 16, 8
    tiling, _ = fill(layout, batch, heads, kv_heads, q, kv, dim, value_dim)
    read, written = (layout.split("_") * 2)[:2]

    def check(strides, layout, heads, tokens, channels):
        numbers = np.arange(batch * heads * tokens * channels).reshape(shape(layout, batch, heads, tokens, channels))
        if layout == "BSH":
            numbers = numbers.reshape(batch, tokens, heads, channels)
        if layout != "BNSD":
            numbers = numbers.transpose(0, 2, 1, 3)
        for b, n, t in itertools.product(range(batch), range(heads), range(tokens)):
            assert offset(strides, b, n, t) == numbers[b, n, t, 0]

    check(tiling.query, read, heads, q, dim)
    check(tiling.key, read, kv_heads, kv, dim)
    check(tiling.value, read, kv_heads, kv, value_dim)
    check(tiling.output, written, heads, q, value_dim)
    assert (tiling.batch, tiling.heads, tiling.group_size) == (batch, heads, heads // kv_heads)
    assert (tiling.q_tokens, tiling.kv_tokens, tiling.head_dim, tiling.value_dim) == (q, kv, dim, value_dim)
    assert tiling.scale == 0.25


@pytest.mark.parametrize(
    "sizes, batch_moves, head_moves",
    [
        ((310, 512), False, False), ((1, 310, 512), False, False), ((2, 310, 512), True, False),
        ((1, 1, 310, 512), False, False), ((2, 1, 310, 512), True, False), ((1, 4, 310, 512), False, True),
        ((2, 4, 310, 512), True, True),
    ],
)  # fmt: skip
def test_mask_strides(sizes, batch_moves, head_moves):
    tiling, (key, _, _) = fill(mask=sizes, mode=1)
    matrix = 310 * 512
    heads = sizes[1] if len(sizes) == 4 else 1
    assert (tiling.mask.token, tiling.mask.batch, tiling.mask.head) == (
        512,
        batch_moves * matrix * heads,
        head_moves * matrix,
    )
    assert key == 11


@pytest.mark.parametrize("mode", [2, 3, 4])
def test_compressed_mask_is_not_read(mode):
    _, (key, _, _) = fill(mask=(2048, 2048), mode=mode)
    assert key == 1


@pytest.mark.parametrize("rows, form", [(300, 0), (304, 0), (1, 1)])
@pytest.mark.parametrize("batch", [1, 2])
def test_bias(rows, form, batch):
    tiling, (key, _, _) = fill(bias=(batch, 4, rows, 512))
    assert (tiling.bias_rows, tiling.bias.token, tiling.bias.head) == (form, 512, rows * 512)
    assert tiling.bias.batch == (4 * rows * 512 if batch == 2 else 0)
    assert key == 101


def test_compressed_bias():
    tiling, _ = fill(q=2000, kv=2000, mode=2, bias=(1, 4, 1024, 2000))
    assert tiling.bias_rows == 2


def kept(mode, pre, next, i, j, corner):
    """Whether the rule of a sparse mode keeps a pair; mode 0 is with a mask, which then decides further."""
    return {
        0: -pre <= j - i <= next,
        1: True,
        2: j <= i,
        3: j <= i + corner,
        4: i + corner - pre <= j <= i + corner + next,
    }[mode]


@pytest.mark.parametrize("mode, mask", [(0, (40, 60)), (1, (40, 60)), (2, None), (3, None), (4, None)])
@pytest.mark.parametrize("pre, next", [(UNBOUNDED, UNBOUNDED), (5, 3), (-2, 9), (12, -4), (UNBOUNDED, 0)])
def test_window(mode, mask, pre, next):
    lengths = [(40, 60), (33, 12), (1, 60), (7, 7)]
    tiling, _ = fill(
        batch=4, q=40, kv=60, mode=mode, pre=pre, next=next, mask=mask,
        lengths=[q for q, _ in lengths], kv_lengths=[kv for _, kv in lengths],
    )  # fmt: skip
    assert (tiling.q_lengths, tiling.kv_lengths) == (2, 2)
    for q, kv in lengths:
        corner = kv - q
        begin = tiling.begin_shift + tiling.begin_follows_corner * corner
        end = tiling.end_shift + tiling.end_follows_corner * corner
        for i, j in itertools.product(range(q), range(kv)):
            assert (i + begin <= j <= i + end) == kept(mode, pre, next, i, j, corner), (i, j)


def test_mode_0_without_mask_keeps_everything():
    tiling, _ = fill(mode=0, pre=3, next=0)
    assert tiling.begin_shift <= -(2**31) and tiling.end_shift >= 2**31


@pytest.mark.parametrize("lengths, source", [(None, 0), ([7], 1), ([7, 9], 2), ([7, 9, 11], 2)])
def test_length_sources(lengths, source):
    tiling, _ = fill(lengths=lengths)
    assert (tiling.q_lengths, tiling.kv_lengths) == (source, 0)
    tiling, _ = fill(kv_lengths=lengths)
    assert (tiling.q_lengths, tiling.kv_lengths) == (0, source)


@pytest.mark.parametrize(
    "dim, value_dim, rows, columns",
    [(16, 16, 128, 1024), (128, 64, 128, 1024), (129, 1, 128, 512), (256, 256, 128, 512), (512, 8, 64, 512)],
)
def test_tile_sizes_and_workspace(dim, value_dim, rows, columns):
    tiling, (_, cores, workspace) = fill(dim=dim, value_dim=value_dim)
    assert (tiling.tile_rows, tiling.step_columns) == (rows, columns)
    assert tiling.product_pitch == -(-value_dim // 128) * 128
    slots = 3 * rows
    assert tiling.score_bytes == slots * columns * 4
    assert tiling.probability_bytes == slots * columns * 2
    assert tiling.product_bytes == slots * tiling.product_pitch * 4
    assert workspace == cores * (tiling.score_bytes + tiling.probability_bytes + tiling.product_bytes)


def test_extent_beyond_the_kernel():
    with pytest.raises(ValueError, match="key has an extent beyond the kernel's 31-bit index, got 4294967296"):
        fill(batch=1, q=1, kv=2**32)


# Partition.


def ranges(first, cores):
    return [(first[c], first[c + 1]) for c in range(cores)]


@pytest.mark.parametrize("cores", [1, 20, 24])
@pytest.mark.parametrize("q", [1, 128, 129, 4000])
def test_every_tile_has_one_core(q, cores):
    tiling, (_, block_dim, _) = fill(q=q, cores=cores)
    tiles = 2 * 4 * -(-q // 128)
    first = list(tiling.first_tile)
    assert block_dim == min(cores, tiles)
    assert first[0] == 0 and first == sorted(first) and set(first[block_dim:]) == {tiles}


def test_causal_load_is_balanced():
    tiling, (_, cores, _) = fill(batch=1, heads=8, kv_heads=8, q=8192, kv=8192, mode=3)
    cost = np.array([1 + (tile % 64 + 1) for tile in range(8 * 64)])
    loads = [cost[a:b].sum() for a, b in ranges(tiling.first_tile, cores)]
    assert max(loads) <= cost.sum() / cores + cost.max()
    assert max(loads) < 1.03 * cost.sum() / cores


def test_lengths_move_work():
    tiling, (_, cores, _) = fill(batch=4, heads=5, kv_heads=5, q=1024, kv=1024, kv_lengths=[1024, 0, 0, 1024])
    loads = [sum(9 if tile // 40 in (0, 3) else 1 for tile in range(a, b)) for a, b in ranges(tiling.first_tile, cores)]
    assert sum(loads) == 2 * 40 * 9 + 2 * 40
    assert max(loads) <= 45


def split(runs, cores):
    costs = [cost for run, _ in runs for cost in run]
    first = (ctypes.c_uint64 * (cores + 1))()
    u64 = lambda values: (ctypes.c_uint64 * len(values))(*values)  # noqa: E731
    ops.test_split(
        u64(costs),
        u64([len(run) for run, _ in runs]),
        u64([r for _, r in runs]),
        ctypes.c_uint64(len(runs)),
        ctypes.c_uint64(cores),
        first,
    )
    return list(first)


def least_load(costs, cores):
    """The best possible heaviest load of contiguous ranges, by dynamic programming."""
    total = np.concatenate([[0], np.cumsum(costs)])
    best = total.astype(float)
    for _ in range(cores - 1):
        best = np.array([min(max(best[k], total[n] - total[k]) for k in range(n + 1)) for n in range(len(total))])
    return best[-1]


def test_split_is_the_best_one():
    draw = random.Random(7)
    for _ in range(60):
        runs = [
            ([draw.randint(1, 12) for _ in range(draw.randint(1, 6))], draw.randint(1, 3))
            for _ in range(draw.randint(1, 4))
        ]
        costs = [cost for run, repeats in runs for cost in run * repeats]
        cores = draw.randint(1, 7)
        first = split(runs, cores)
        assert first[0] == 0 and first[-1] == len(costs) and first == sorted(first)
        assert max(sum(costs[a:b]) for a, b in ranges(first, cores)) == least_load(costs, cores)
