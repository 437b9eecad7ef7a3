"""Work partition of the forward kernels, checked against the rules written out element by element."""

import ctypes
import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest

from sim.cann.aclnn import ops

HEADERS = Path(__file__).resolve().parents[3] / "op_kernel" / "tiling"
UNBOUNDED = 2**31 - 1
SPLIT_KEYS = 128
CORNER, STORAGE = 1, 2  # WindowOrigin


def structures():
    """The plain structs of the tiling headers."""
    text = "".join((HEADERS / name).read_text() for name in ("sequence_tiling.h", "forward_tiling.h"))
    text = re.sub(r"//.*", "", text)
    constants = {name: int(value) for name, value in re.findall(r"constexpr uint32_t (\w+) = (\d+);", text)}
    types = {f"{name}_t": getattr(ctypes, f"c_{name}") for name in ("uint32", "uint64", "int64")}
    types["float"] = ctypes.c_float
    for name, body in re.findall(r"struct (\w+) \{(.*?)\n\};", text, re.DOTALL):
        fields = []
        for kind, field, length in re.findall(r"(\w+) (\w+)(?:\[(.+?)\])?;", body):
            count = eval(length, constants) if length else 0  # a constant plus one
            fields.append((field, types[kind] * count if count else types[kind]))
        types[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    return types


Tiling = structures()["ForwardTiling"]


class Call(ctypes.Structure):
    _fields_ = (
        [("layout", ctypes.c_char_p)]
        + [(name, ctypes.c_int64) for name in ("heads", "kv_heads", "mode", "pre", "next")]
        + [(name, ctypes.c_int64 * 4) for name in ("query", "key", "value", "mask", "bias")]
        + [(name, ctypes.c_int64 * 8) for name in ("lengths", "kv_lengths")]
        + [("batch_invariant", ctypes.c_int64)]
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
    batch_invariant=0,
):  # fmt: skip
    """Tiling and (tiling key, block dim, workspace bytes, whether cores wait for one another)."""
    read, value_dim = layout.split("_")[0], value_dim or dim
    call = Call(
        layout.encode(), heads, kv_heads, mode, pre, next, padded(shape(read, batch, heads, q, dim), 4),
        padded(shape(read, batch, kv_heads, kv, dim), 4), padded(shape(read, batch, kv_heads, kv, value_dim), 4),
        padded(mask, 4), padded(bias, 4), padded(lengths, 8), padded(kv_lengths, 8),
        batch_invariant,
    )  # fmt: skip
    tiling, launch = Tiling(), (ctypes.c_uint64 * 4)()
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
    check(tiling.key.rows, read, kv_heads, kv, dim)
    check(tiling.value.rows, read, kv_heads, kv, value_dim)
    check(tiling.output, written, heads, q, value_dim)
    sequences = tiling.sequences
    assert (sequences.batch, sequences.heads, sequences.groupSize) == (batch, heads, heads // kv_heads)
    assert (sequences.qTokens, sequences.kvTokens) == (q, kv)
    assert (tiling.headDim, tiling.valueDim, tiling.scale) == (dim, value_dim, 0.25)


@pytest.mark.parametrize(
    "sizes, batch_moves, head_moves",
    [
        ((310, 512), False, False), ((1, 310, 512), False, False), ((2, 310, 512), True, False),
        ((1, 1, 310, 512), False, False), ((2, 1, 310, 512), True, False), ((1, 4, 310, 512), False, True),
        ((2, 4, 310, 512), True, True),
    ],
)  # fmt: skip
def test_mask_strides(sizes, batch_moves, head_moves):
    tiling, (key, *_) = fill(mask=sizes, mode=1)
    matrix = 310 * 512
    heads = sizes[1] if len(sizes) == 4 else 1
    assert (tiling.mask.token, tiling.mask.batch, tiling.mask.head) == (
        512,
        batch_moves * matrix * heads,
        head_moves * matrix,
    )
    assert (key, tiling.hasMask) == (1, 1)


@pytest.mark.parametrize("mode", [2, 3, 4])
def test_compressed_mask_is_not_read(mode):
    tiling, _ = fill(mask=(2048, 2048), mode=mode)
    assert tiling.hasMask == 0


@pytest.mark.parametrize("rows", [300, 304, 1])
@pytest.mark.parametrize("batch", [1, 2])
def test_bias(rows, batch):
    tiling, _ = fill(bias=(batch, 4, rows, 512))
    assert (tiling.biasKind, tiling.bias.head) == (1, rows * 512)
    assert tiling.bias.token == (512 if rows > 1 else 0)
    assert tiling.bias.batch == (4 * rows * 512 if batch == 2 else 0)


def test_compressed_bias():
    tiling, _ = fill(q=2000, kv=2000, mode=2, bias=(1, 4, 1024, 2000))
    assert tiling.biasKind == 2


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
    sequences = tiling.sequences
    assert (sequences.qLengths, sequences.kvLengths) == (2, 2)
    window = sequences.window
    for q, kv in lengths:
        corner = kv - q
        origin = {CORNER: corner}  # storage positions agree without padding
        begin = window.beginShift + origin.get(window.beginOrigin, 0)
        end = window.endShift + origin.get(window.endOrigin, 0)
        for i, j in itertools.product(range(q), range(kv)):
            assert (i + begin <= j <= i + end) == kept(mode, pre, next, i, j, corner), (i, j)


def test_mode_0_without_mask_keeps_everything():
    tiling, _ = fill(mode=0, pre=3, next=0)
    window = tiling.sequences.window
    assert window.beginShift <= -(2**31) and window.endShift >= 2**31


@pytest.mark.parametrize("lengths, source", [(None, 0), ([7], 1), ([7, 9], 2), ([7, 9, 11], 2)])
def test_length_sources(lengths, source):
    tiling, _ = fill(lengths=lengths)
    assert (tiling.sequences.qLengths, tiling.sequences.kvLengths) == (source, 0)
    tiling, _ = fill(kv_lengths=lengths)
    assert (tiling.sequences.qLengths, tiling.sequences.kvLengths) == (0, source)


@pytest.mark.parametrize(
    "dim, value_dim, rows, columns",
    [(16, 16, 128, 1024), (128, 64, 128, 1024), (129, 1, 128, 1024), (256, 256, 128, 1024), (512, 512, 128, 512)],
)
def test_tile_sizes_and_workspace(dim, value_dim, rows, columns):
    tiling, (_, cores, workspace, _) = fill(kv=4000, dim=dim, value_dim=value_dim)
    assert (tiling.tileRows, tiling.slotRows, tiling.stepColumns) == (rows, rows, columns)
    assert tiling.productPitch == -(-value_dim // 128) * 128
    slots = 3 * rows
    assert tiling.scoreBytes == slots * columns * 4
    assert tiling.probabilityBytes == slots * columns * 2
    assert tiling.productBytes == slots * tiling.productPitch * 4
    assert (tiling.parts, tiling.partBytes) == (2 * cores, rows * (tiling.productPitch + 2) * 4)
    shares = tiling.scoreBytes + tiling.probabilityBytes + tiling.productBytes + 2 * tiling.partBytes
    assert (cores, workspace) == (tiling.cores, cores * shares)


def test_short_work_takes_shorter_steps():
    assert fill()[0].stepColumns == 384
    assert fill(kv=4000)[0].stepColumns == fill(batch_invariant=1)[0].stepColumns == 1024


@pytest.mark.parametrize("layout, q, heads", [("BSND", 1, 4), ("BNSD", 1, 2), ("BSND", 4, 2)])
def test_heads_that_share_lines_are_rows_of_one_tile(layout, q, heads):
    assert fill(layout, q=q)[0].tileHeads == heads


def test_extent_beyond_the_kernel():
    with pytest.raises(ValueError, match="key has an extent beyond the kernel's 31-bit index, got 4294967296"):
        fill(batch=1, q=1, kv=2**32)


# Partition.


def ranges(first, cores):
    return [(first[c], first[c + 1]) for c in range(cores)]


def positions(tiling, tiles_per_sequence):
    """Where each core begins, as (number of the tile among all, block of keys)."""
    return [(s.sequence * tiles_per_sequence + s.tile, s.keyBlock) for s in tiling.start]


@pytest.mark.parametrize("cores", [1, 20, 24])
@pytest.mark.parametrize("q", [1, 128, 129, 4000])
def test_every_piece_has_one_core(q, cores):
    tiling, (_, block_dim, _, waits) = fill(q=q, cores=cores, heads=4, kv_heads=4)
    tiles = 2 * 4 * -(-q // 128)
    start = positions(tiling, tiles // 2)
    assert block_dim <= cores
    assert start[0] == (0, 0) and start == sorted(start) and set(start[block_dim:]) == {(tiles, 0)}
    assert len(set(start[: block_dim + 1])) == block_dim + 1
    assert waits == any(block for _, block in start)


def loads(tiling, costs):
    """Blocks of keys of each core; `costs`: of each tile."""
    before = np.concatenate([[0], np.cumsum(costs)])
    at = [before[tile] + block for tile, block in positions(tiling, len(costs))]
    return np.diff(at[: tiling.cores + 1])


def test_causal_load_is_balanced():
    tiling, _ = fill(batch=1, heads=8, kv_heads=8, q=8192, kv=8192, mode=3)
    cost = np.array([1 + (tile % 64 + 1) for tile in range(8 * 64)])
    assert loads(tiling, cost).sum() == cost.sum()
    assert loads(tiling, cost).max() < 1.05 * cost.sum() / 20


def test_few_tiles_are_cut():
    tiling, (_, cores, _, waits) = fill(batch=1, heads=3, kv_heads=3, q=1, kv=8192)
    share = loads(tiling, np.array([1 + 64] * 3))
    assert cores == 20 and share.min() >= 3 and share.max() <= 1.4 * 3 * 65 / 20
    assert waits and any(s.keyBlock for s in tiling.start)
    assert all(s.keyBlock * SPLIT_KEYS < 8192 for s in tiling.start)


def test_heads_of_a_group_share_a_tile_for_one_query_token():
    tiling, _ = fill(batch=3, heads=8, kv_heads=2, q=1, kv=100)
    assert {(s.sequence, s.tile) for s in tiling.start} == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0)}
    tiling, _ = fill(batch=3, heads=8, kv_heads=2, q=100, kv=100, cores=24)
    assert {s.tile for s in tiling.start} == set(range(8))


def test_batch_invariant_tiles_are_cut_at_fixed_places():
    for batch, cores in ((1, 20), (1, 3), (6, 20)):
        tiling, (_, used, workspace, waits) = fill(batch=batch, heads=3, kv_heads=3, q=1, kv=8192, cores=cores,
                                                   batch_invariant=1)
        share = -(-batch * 3 * 8 // cores)  # pieces of the most loaded
        assert waits and used == -(-batch * 3 * 8 // share)
        assert all(s.keyBlock % 8 == 0 for s in tiling.start)
        assert (tiling.pieceBlocks, tiling.mostPieces, tiling.parts) == (8, 9, batch * 3 * 9)
        groups = tiling.scoreBytes + tiling.probabilityBytes + tiling.productBytes
        assert workspace == tiling.parts * tiling.partBytes + used * groups
    for tokens in (5, 300):  # more rows: whole tiles
        tiling, (_, _, _, waits) = fill(batch=1, heads=3, kv_heads=3, q=tokens, kv=8192, batch_invariant=1)
        assert not waits and tiling.parts == 0 and all(s.keyBlock == 0 for s in tiling.start)


def test_lengths_move_work():
    tiling, _ = fill(batch=4, heads=5, kv_heads=5, q=1024, kv=1024, kv_lengths=[1024, 0, 0, 1024])
    before = [0, 40 * 9, 40 * 10, 40 * 11, 40 * 20]
    at = [before[s.sequence] + s.tile * (9 if s.sequence in (0, 3) else 1) + s.keyBlock for s in tiling.start]
    share = np.diff(at[: tiling.cores + 1])
    assert share.sum() == before[-1] and share.max() <= 45


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
