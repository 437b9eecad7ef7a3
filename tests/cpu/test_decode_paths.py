"""Decode on every instruction-set path: groups of heads, lengths, caches of every kind, against float64."""

import os
import subprocess
import sys

import pytest

import npufa

PROGRAM = """
import sys
import torch, npufa

assert npufa.info().cpu_capability == sys.argv[1]
torch.manual_seed(0)
TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1.2e-2}


def check(got, query, key, value, lengths, what):
    batch, heads, _, size = query.shape
    group = heads // key.shape[1]
    for b, length in enumerate(lengths):
        k, v = (x[b, :, :length].double().repeat_interleave(group, 0) for x in (key, value))
        scores = query[b].double() @ k.transpose(1, 2) * size**-0.5
        want = scores.softmax(-1) @ v
        error = (got[b].double() - want).norm(dim=-1) / v.norm(dim=-1).mean()
        assert error.max() <= TOLERANCE[query.dtype], (what, b, error.max().item())


def run(query, key, value, lengths, **more):
    return npufa.npu_fused_infer_attention_score(
        query, key, value, num_heads=query.shape[1], num_key_value_heads=key.shape[1], input_layout="BNSD",
        scale=query.shape[-1] ** -0.5, actual_seq_lengths_kv=lengths, **more)[0]


for dtype in TOLERANCE:
    for heads, kv_heads, size in ((3, 3, 64), (8, 2, 128), (12, 1, 96), (16, 1, 40), (40, 2, 16)):
        query = torch.randn(2, heads, 1, size).to(dtype)
        key, value = (torch.randn(2, kv_heads, 320, size).to(dtype) for _ in range(2))
        lengths = [320, 129]
        check(run(query, key, value, lengths), query, key, value, lengths, (dtype, heads))

        stored = torch.randint(-128, 128, (2, 2, kv_heads, 320, size), dtype=torch.int8)
        stored[1, :, :, 5] *= 0
        shape = (kv_heads, size)
        scale = torch.rand(2, *shape).to(dtype) * 0.02
        offset = torch.randint(-9, 9, (2, *shape)).to(dtype)
        for with_offset in (False, True):
            exact = [(stored[i].double() + with_offset * offset[i][:, None].double()) * scale[i][:, None].double()
                     for i in range(2)]
            more = dict(key_antiquant_scale=scale[0], value_antiquant_scale=scale[1], key_antiquant_mode=0,
                        value_antiquant_mode=0)
            if with_offset:
                more |= dict(key_antiquant_offset=offset[0], value_antiquant_offset=offset[1])
            got = run(query, stored[0], stored[1], lengths, **more)
            check(got, query, *exact, lengths, (dtype, heads, "per channel", with_offset))

        token_scale = torch.rand(2, 2, 320) * 0.02
        token_scale[:, 1, 200:] = float("nan")  # behind the second length
        token_offset = torch.randint(-9, 9, (2, 2, 320)).float()
        exact = [(stored[i].double() + token_offset[i][:, None, :, None].double())
                 * token_scale[i][:, None, :, None].double() for i in range(2)]
        got = run(query, stored[0], stored[1], lengths, key_antiquant_scale=token_scale[0],
                  value_antiquant_scale=token_scale[1], key_antiquant_offset=token_offset[0],
                  value_antiquant_offset=token_offset[1], key_antiquant_mode=1, value_antiquant_mode=1)
        check(got, query, *exact, lengths, (dtype, heads, "per token"))

# One token outweighs each of the others by far, but not all of them together.
for dtype in (torch.float16, torch.bfloat16):
    query = torch.ones(1, 4, 1, 64).to(dtype)
    stored = torch.zeros(1, 1, 4096, 64, dtype=torch.int8)
    stored[:, :, 0] = 125
    values = torch.randint(40, 128, (1, 1, 4096, 64), dtype=torch.int8)
    values[:, :, 0] = -100
    scale = torch.full((1, 64), 0.1 / 8).to(dtype)
    got = run(query, stored, values, [4096], key_antiquant_scale=scale, value_antiquant_scale=scale)
    exact = [x.double() * scale[0, 0].double() for x in (stored, values)]
    check(got, query, *exact, [4096], "outlier")
"""


@pytest.mark.parametrize("name", npufa.info().cpu_capabilities)
def test_decode_on_every_path(name):
    environment = os.environ | {"NPUFA_CPU_CAPABILITY": name}
    done = subprocess.run([sys.executable, "-c", PROGRAM, name], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
