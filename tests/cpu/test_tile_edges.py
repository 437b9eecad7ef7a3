"""Tiles on the edge of a mask compute the visible columns only: bands that begin and end anywhere within lanes and
tiles, forward and backward, against float64, on every instruction-set path the machine can run."""

import os
import subprocess
import sys

import pytest

import npufa

CALL = """
import torch, npufa
assert npufa.info().cpu_capability == {name!r}
generator = torch.Generator().manual_seed(0)
TOLERANCE = {{torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}}

def check(dtype, heads, rows, keys, dim, before, after):
    shapes = [(1, heads, rows, dim), (1, 1, keys, dim), (1, 1, keys, dim)]
    q, k, v = (torch.randn(*s, generator=generator).to(dtype).requires_grad_() for s in shapes)
    i, j = torch.arange(rows)[:, None], torch.arange(keys)
    seen = (j >= i - before) & (j <= i + after)
    out, *_ = npufa.npu_fusion_attention(
        q, k, v, heads, "BNSD", scale=dim**-0.5, atten_mask=~seen, sparse_mode=0, pre_tockens=before, next_tockens=after
    )
    exact = [t.detach().double().requires_grad_() for t in (q, k, v)]
    scores = (exact[0] @ exact[1].transpose(-1, -2) * dim**-0.5).masked_fill(~seen, -torch.inf)
    some = seen.any(-1, keepdim=True)
    p = torch.where(some, scores, 0.0).softmax(-1) * some
    want = p @ exact[2]
    weight = torch.randn(want.shape, generator=generator).to(dtype)
    got = [out, *torch.autograd.grad(out, (q, k, v), weight)]
    wanted = [want, *torch.autograd.grad(want, exact, weight.double())]
    for a, b in zip(got, wanted):
        # At least 1: the gradients of queries and keys are 0 where a row sees one key.
        error = (a.double() - b).abs().max() / b.abs().max().clamp(min=1)
        assert error <= TOLERANCE[dtype], (dtype, rows, keys, dim, before, after, error)

for dtype in TOLERANCE:
    check(dtype, 1, 300, 300, 24, 0, 0)       # the diagonal alone
    check(dtype, 2, 300, 531, 17, 37, 5)      # one lane to the next, an odd count of columns, tiles that are skipped
    check(dtype, 1, 97, 530, 32, -240, 275)   # begins in one tile of keys and ends in the next
    check(dtype, 3, 50, 260, 16, -255, 258)   # begins in the last column of a tile
    check(dtype, 1, 600, 64, 16, 20, 3)       # rows beyond the last key see none
"""


@pytest.mark.parametrize("name", npufa.info().cpu_capabilities)
def test_bands_on_every_path(name):
    environment = os.environ | {"NPUFA_CPU_CAPABILITY": name}
    command = [sys.executable, "-c", CALL.format(name=name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
