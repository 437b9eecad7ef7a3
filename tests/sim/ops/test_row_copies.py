"""Rows of tensors whose neighbours are far apart: the distances that instructions can express, and those beyond."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from npufa import sim
from sim.cann.test_prompt_flash_attention import attention, run

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
OP_KERNEL = Path(__file__).resolve().parents[3] / "op_kernel"
COLUMNS = 24
MOST = (2**32 - 2) // 2 + COLUMNS  # halves from row to row that one copy can skip


@pytest.mark.parametrize("pitch", [COLUMNS, MOST, MOST + 1, 2**31 + COLUMNS + 7])
def test_rows_gigabytes_apart(pitch):
    """Only the rows themselves are ever touched."""
    source, target = np.zeros(pitch + COLUMNS, np.float16), np.zeros(pitch + COLUMNS, np.float16)
    rows = np.arange(2 * COLUMNS, dtype=np.float16).reshape(2, COLUMNS) + 1
    source[:COLUMNS], source[pitch:] = rows
    kernel = sim.compile_kernel(KERNELS / "row_copies.cpp", include=[OP_KERNEL])
    kernel.launch("row_copies", [source, sim.Output(target)], tiling=struct.pack("=QII", pitch, 2, COLUMNS))
    np.testing.assert_array_equal([target[:COLUMNS], target[pitch:]], rows)


@pytest.mark.parametrize("heads, dim", [
    (255, 257),  # 65535 elements from token to token: one copy
    (128, 512),  # 65536: one copy of wider elements
    (257, 510),  # 131070
    (129, 511),  # 65919, rows of odd length: a copy each
    (256, 512),  # 131072
])  # fmt: skip
def test_tokens_far_apart(heads, dim):
    draw = np.random.default_rng(5)
    q, k, v = (draw.standard_normal((1, heads, tokens, dim)).astype(np.float16) for tokens in (2, 17, 17))
    result = run(q, k, v, layout="BSH")
    np.testing.assert_allclose(result, attention(q, k, v, True, 0.0, dim**-0.5), atol=2e-3, rtol=2e-3)
