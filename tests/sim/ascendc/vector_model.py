"""What a vector instruction's masks, repeats and strides mean, from the documentation, and launching one of them.

An instruction works in repeats of 8 blocks of 32 bytes of its widest element type. A call names the elements that take
part (`Mask`); everything else keeps its bytes.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from pathlib import Path

import numpy as np
import pytest

from npufa import sim

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
BLOCK = 32


class Form(enum.IntEnum):
    """The kernels' MaskForm."""

    COUNT = 0
    PREFIX = 1
    BITS = 2
    REGISTER = 3
    COUNTER = 4


@dataclasses.dataclass(frozen=True)
class Mask:
    """Which elements take part: the first `count` (COUNT, COUNTER) or, of each of `repeat` repeats, those in `bits`."""

    form: Form
    count: int = 0
    bits: int = 0
    repeat: int = 1

    def elements(self, lanes: int) -> list[tuple[int, int]]:
        """(repeat, element) pairs in order, for repeats of `lanes` elements."""
        if self.form in (Form.COUNT, Form.COUNTER):
            return [divmod(i, lanes) for i in range(self.count)]
        chosen = [i for i in range(lanes) if self.bits >> i & 1]
        return [(r, i) for r in range(self.repeat) for i in chosen]

    def words(self) -> tuple[int, int]:
        if self.form is Form.PREFIX:
            return self.bits.bit_length(), 0
        return self.bits & (2**64 - 1), self.bits >> 64


def first(count: int, repeat: int = 1) -> Mask:
    """mask = count."""
    return Mask(Form.PREFIX, bits=2**count - 1, repeat=repeat)


def masks(lanes: int) -> list[Mask]:
    """Every form, with tails and gaps, within 4 repeats."""
    odd = int("10110001" * (lanes // 8), 2)
    return [
        Mask(Form.COUNT, count=4 * lanes),
        Mask(Form.COUNT, count=2 * lanes + 3),
        Mask(Form.COUNT, count=5),
        Mask(Form.COUNT, count=0),
        first(lanes, 3),
        first(lanes - 5, 2),
        first(1, 1),
        first(0, 2),
        Mask(Form.BITS, bits=odd, repeat=3),
        Mask(Form.BITS, bits=odd << (lanes // 2) & (2**lanes - 1), repeat=2),
        Mask(Form.REGISTER, bits=odd ^ (2**lanes - 1), repeat=2),
        Mask(Form.COUNTER, count=3 * lanes - 7),
        Mask(Form.COUNTER, count=9, repeat=1),
    ]


def few_masks(lanes: int) -> list[Mask]:
    """A tail, a prefix and gaps: for instructions that share what `masks` tests."""
    odd = int("10110001" * (lanes // 8), 2)
    return [Mask(Form.COUNT, count=2 * lanes + 3), first(lanes - 5, 2), Mask(Form.BITS, bits=odd, repeat=2)]


@dataclasses.dataclass
class Call:
    """The kernels' VectorTiling; strides in blocks for dst, src0, src1."""

    op: int = 0
    mask: Mask = Mask(Form.COUNT)
    mode: int = 0
    block: tuple[int, int, int] = (1, 1, 1)
    step: tuple[int, int, int] = (8, 8, 8)
    scalar: bytes = b""
    scalar2: bytes = b""
    offset: tuple[int, int, int] = (0, 0, 0)

    def pack(self, sizes: list[int]) -> bytes:
        words = self.mask.words()
        scalars = [s.ljust(8, b"\0") for s in (self.scalar, self.scalar2)]
        fields = [*words, *scalars, self.op, self.mask.form, self.mode, self.mask.count, self.mask.repeat]
        return struct.pack("=2Q8s8s3i2i3i3i3I3I4x", *fields, *self.block, *self.step, *sizes, *self.offset)


def place(repeat: int, element: int, size: float, block: int, step: int) -> int:
    """Byte of an element of `size` bytes."""
    per_block = round(BLOCK / size)
    return (repeat * step + element // per_block * block) * BLOCK + int(element % per_block * size)


def raw(array: np.ndarray) -> np.ndarray:
    """Bytes, padded to whole blocks."""
    data = np.frombuffer(np.ascontiguousarray(array).tobytes(), dtype=np.uint8)
    return np.pad(data, (0, -len(data) % BLOCK))


def launch(kernels, kernel: str, call: Call, dst: np.ndarray, src0: np.ndarray, src1: np.ndarray) -> np.ndarray:
    """The bytes of the destination afterwards."""
    buffers = [raw(x) for x in (dst, src0, src1)]
    out = np.zeros_like(buffers[0])
    kernels.launch(kernel, [*buffers, sim.Output(out)], tiling=call.pack([len(b) for b in buffers]))
    return out


def fault(kernels, kernel: str, call: Call, dst: np.ndarray, src0: np.ndarray, src1: np.ndarray) -> sim.Finding:
    """The first finding of a call that must fail."""
    with pytest.raises(sim.KernelError) as caught:
        launch(kernels, kernel, call, dst, src0, src1)
    return caught.value.findings[0]


def elementwise(call: Call, dst: np.ndarray, sources: list[np.ndarray], function) -> np.ndarray:
    """The destination of dst[i] = function(sources[i]..., dst[i]), in numpy's types; whole arrays as flat buffers."""
    out = raw(dst).copy()
    lanes = 256 // max(x.dtype.itemsize for x in [dst, *sources])
    elements = call.mask.elements(lanes)
    if not elements:
        return out

    def index(k: int, dtype: np.dtype) -> np.ndarray:
        size = dtype.itemsize
        return np.array([place(r, e, size, call.block[k], call.step[k]) // size for r, e in elements])

    target = index(0, dst.dtype)
    picked = [x[index(k + 1, x.dtype)] for k, x in enumerate(sources)]
    with np.errstate(over="ignore"):
        out.view(dst.dtype)[target] = function(*picked, dst[target]).astype(dst.dtype)
    return out


def compare(actual: np.ndarray, expected: np.ndarray, dtype: np.dtype, ulp: int = 0) -> None:
    """Equal bytes, or values within `ulp` units in the last place; NaN equals NaN."""
    a, b = actual.view(dtype), expected.view(dtype)
    if np.issubdtype(dtype, np.floating):
        both_nan = np.isnan(a) & np.isnan(b)
        a, b = a.copy(), b.copy()
        a[both_nan] = b[both_nan] = 0
        if ulp:
            np.testing.assert_array_max_ulp(a, b, maxulp=ulp)
            return
    np.testing.assert_array_equal(a, b)
