"""Every instruction-set path the machine can run gives the same attention, forward and backward."""

import os
import pathlib
import subprocess
import sys

import pytest

import npufa
from cpu.primitives_support import MODULES

CALL = """
import torch, npufa
assert npufa.info().cpu_capability == {name!r}
torch.manual_seed(0)
for dtype, tolerance in ((torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
    for size, dim in ((1, 1), (17, 33), (129, 64)):
        q, k, v = (torch.randn(2, 3, size, dim, dtype=dtype, requires_grad=True) for _ in range(3))
        out = npufa.npu_fusion_attention(q, k, v, 3, "BNSD", scale=dim**-0.5, sparse_mode=3)[0]
        exact = [t.detach().double().requires_grad_() for t in (q, k, v)]
        want = torch.nn.functional.scaled_dot_product_attention(*exact, is_causal=True, scale=dim**-0.5)
        weight = torch.randn_like(out)
        got = [out, *torch.autograd.grad(out, (q, k, v), weight)]
        wanted = [want, *torch.autograd.grad(want, exact, weight.double())]
        for a, b in zip(got, wanted):
            # A single key has the probability 1: of dq and dk only rounding is left.
            error = (a.double() - b).abs().max() / b.abs().max().clamp(min=0.1)
            assert error <= tolerance, (dtype, size, dim, error)
"""


@pytest.mark.parametrize("name", npufa.info().cpu_capabilities)
def test_attention_on_every_path(name):
    environment = os.environ | {"NPUFA_CPU_CAPABILITY": name}
    code = CALL.format(name=name)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif("avx512_bf16" not in npufa.info().cpu_capabilities, reason="the rest of the table needs it")
def test_attention_on_amx():
    """tests/cpp/attention_check.cpp compares with float64; without AMX its instructions are emulated."""
    done = subprocess.run([pathlib.Path(MODULES) / "npufa_attention_check", "amx"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "amx: clean\n"
