"""Calls of the forward kernel on small tiles, so that a few hundred keys fill its pipeline several times over."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np

from npufa import sim

OP_KERNEL = Path(__file__).resolve().parents[3] / "op_kernel"
KERNEL = "npufa_prompt_flash_attention"
UNBOUNDED = 1 << 40
KEY_MASK, KEY_BIAS = 10, 100
BIAS_ROW_EACH, BIAS_ROW_COMMON = 0, 1
RESERVED_WORKSPACE = 16 << 20
PITCH = 128  # floats between rows of products are a multiple of it
SLOTS = 3


def _structures() -> dict[str, type[ctypes.Structure]]:
    """The plain structs of forward_tiling.h."""
    text = re.sub(r"//.*", "", (OP_KERNEL / "attention" / "forward_tiling.h").read_text())
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


_TYPES = _structures()


def _aligned(array: np.ndarray) -> np.ndarray:
    """A copy at a multiple of 512 bytes, as the device allocates."""
    memory = np.zeros(array.nbytes + 512, np.uint8)
    start = -memory.ctypes.data % 512
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class ForwardCall:
    """One BNSD call of batch 1 in float16: arguments, tiling and the float64 result.

    `heads` query heads share one key head; `tile` query rows and `step` keys make a step of the pipeline; `causal`
    counts from the bottom right corner; a bias has q rows or one for all.
    """

    def __init__(self, heads, q, kv, dim, value_dim, *, tile, step, causal=False, mask=False, bias_rows=0):
        random = np.random.default_rng(1)
        draw = lambda *shape: _aligned(random.standard_normal(shape).astype(np.float16))  # noqa: E731
        self.query, self.key, self.value = draw(1, heads, q, dim), draw(1, 1, kv, dim), draw(1, 1, kv, value_dim)
        self.mask = _aligned((random.random((1, 1, q, kv)) < 0.3).astype(np.uint8)) if mask else None
        self.bias = draw(1, heads, bias_rows, kv) if bias_rows else None
        self.output = _aligned(np.zeros((1, heads, q, value_dim), np.float16))
        self.key_of_tiling = KEY_MASK * mask + KEY_BIAS * (bias_rows > 0)
        self.tiling = self._tiling(heads, q, kv, dim, value_dim, tile, step, causal)
        slots = self.tiling.scoreBytes + self.tiling.probabilityBytes + self.tiling.productBytes
        self.workspace = np.zeros(RESERVED_WORKSPACE + slots, np.uint8)
        self.expected = self._expected(causal)

    def _tiling(self, heads, q, kv, dim, value_dim, tile, step, causal):
        strides = lambda x: _TYPES["TensorStrides"](*(n // x.itemsize for n in x.strides[:3]))  # noqa: E731
        pitch = -(-value_dim // PITCH) * PITCH
        tiling = _TYPES["ForwardTiling"](
            batch=1, heads=heads, groupSize=heads, qTokens=q, kvTokens=kv, headDim=dim, valueDim=value_dim,
            tileRows=tile, stepColumns=step, endFollowsCorner=causal, scale=dim**-0.5, productPitch=pitch,
            beginShift=-UNBOUNDED, endShift=0 if causal else UNBOUNDED,
            scoreBytes=SLOTS * tile * step * 4, probabilityBytes=SLOTS * tile * step * 2,
            productBytes=SLOTS * tile * pitch * 4,
            query=strides(self.query), key=strides(self.key), value=strides(self.value), output=strides(self.output),
        )  # fmt: skip
        if self.mask is not None:
            tiling.mask = strides(self.mask)
            tiling.mask.head = 0
        if self.bias is not None:
            tiling.bias = strides(self.bias)
            tiling.biasRows = BIAS_ROW_COMMON if self.bias.shape[2] < q else BIAS_ROW_EACH
        tiles = -(-q // tile) * heads
        tiling.firstTile[:] = [0] + [tiles] * (len(tiling.firstTile) - 1)
        return tiling

    def _expected(self, causal) -> np.ndarray:
        q, k, v = (x.astype(np.float64) for x in (self.query, self.key, self.value))
        scores = np.einsum("bnid,bmjd->bnij", q, k) * q.shape[-1] ** -0.5
        if self.bias is not None:
            scores = scores + self.bias
        if causal:
            i, j = np.indices(scores.shape[2:])
            scores = np.where(j <= i + scores.shape[3] - scores.shape[2], scores, -np.inf)
        if self.mask is not None:
            scores = np.where(self.mask != 0, -np.inf, scores)
        weights = np.exp(scores - scores.max(-1, keepdims=True, initial=-1e30))
        return np.einsum("bnij,bmjd->bnid", weights, v) / np.maximum(weights.sum(-1, keepdims=True), 1e-300)

    def run(self, library: sim.KernelLibrary) -> tuple[bool, list[sim.Finding]]:
        """Whether the result is right, and what the checks found."""
        self.output[...] = np.nan
        unused = [None] * 7  # lengths and quantisation
        findings = library.launch(
            KERNEL,
            [self.query, self.key, self.value, self.bias, self.mask, *unused, sim.Output(self.output, written=False),
             sim.Output(self.workspace, written=False)],
            tiling=bytes(self.tiling), tiling_key=self.key_of_tiling, raise_on_findings=False,
        )  # fmt: skip
        return np.allclose(self.output, self.expected, rtol=0, atol=2e-3), findings
