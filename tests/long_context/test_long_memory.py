"""Memory and results of sequences that no score matrix would fit."""

import subprocess
import sys

import pytest
import torch

from cases.device import on_device
from npufa.long_context import long_context_attention

LONG = 128 * 1024
ALLOWED_MB = 32  # blocks of 4096 rows and keys with their partial results, and what the operators take inside
PROGRAM = """
import re, sys, torch
sys.path.insert(0, {tests!r})
from long_context import dense
from npufa.long_context import long_context_attention

torch.set_num_threads(2)
size, width, rules = {size}, {width}, {rules}

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

def run(leaves, dy):
    output, lse = long_context_attention(*leaves, max_tokens=4096, **rules)
    if {gradient}:
        output.backward(dy)
    return output.detach(), lse

def inputs(size):
    return [torch.randn(1, 1, size, width).requires_grad_({gradient}) for _ in range(3)], torch.randn(1, 1, size, width)

run(*inputs(5000))                                  # libraries, threads and allocator are warm
leaves, dy = inputs(size)
open("/proc/self/clear_refs", "w").write("5")       # reset the high-water mark
before = peak()
output, lse = run(leaves, dy)
results = [output, lse, *(t.grad for t in leaves if t.grad is not None)]
named = sum(t.numel() for t in results) * 4 / 2 ** 20 + 2 * size * 4 / 2 ** 20     # and the saved statistics
print("extra", peak() - before - named)

rows = torch.tensor([0, 1, 4095, 4096, size // 2 + 1, size - 4097, size - 1])
query, key, value = (t.detach() for t in leaves)
keep = torch.cat([dense.kept_row(row, size, size, **rules) for row in rows.tolist()])
want = dense.attention(query[:, :, rows], key, value, keep)
for got, expected in zip((output, lse), want):
    torch.testing.assert_close(got[:, :, rows].double(), expected, atol=1e-5, rtol=1e-4)
"""


def extra_memory(gradient=False, size=LONG, width=16, **rules):
    """MB beyond inputs and results at the peak, after the results of some rows were found to be right."""
    tests = [path for path in sys.path if path.endswith("tests")][-1]
    program = PROGRAM.format(tests=tests, size=size, width=width, rules=rules, gradient=gradient)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return float(result.stdout.split()[-1])


def test_window_of_128k_tokens():
    assert extra_memory(sparse_mode=4, pre_tokens=127, next_tokens=0, sink_tokens=4) < ALLOWED_MB


@pytest.mark.slow(group="limits")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("gradient, size, width, rules", [
    (False, LONG, 64, {"sparse_mode": 3}),
    (True, LONG, 64, {"sparse_mode": 4, "pre_tokens": 1023, "next_tokens": 0, "sink_tokens": 4}),
    (True, LONG // 4, 64, {"sparse_mode": 3}),
])
def test_long_sequences(gradient, size, width, rules):
    assert extra_memory(gradient, size, width, **rules) < ALLOWED_MB


@on_device
def test_the_device_holds_one_block_whatever_the_length():
    peaks = []
    for tokens in (128, 256):  # 4 and 8 blocks of keys; a merge is at its largest from the third on
        torch.manual_seed(tokens)
        leaves = [torch.randn(1, heads, tokens, 64).half().requires_grad_() for heads in (4, 2, 2)]
        torch.npu.reset_peak_memory_stats()
        before = torch.npu.memory_allocated()
        output, _ = long_context_attention(*leaves, sparse_mode=3, max_tokens=32, device="npu")
        output.sum().backward()
        assert output.device.type == leaves[1].grad.device.type == "cpu" and torch.npu.memory_allocated() == before
        peaks.append(torch.npu.max_memory_allocated() - before)
    assert peaks[0] == peaks[1] > 0
