"""NZ caches and quantised queries on the simulated NPU against the float64 reference."""

import pytest
import torch

from cases.device import on_device
from cases.inference import FUSED_LAYOUTS
from cases.model import operator
from cases.nz import exact_case, int8_products_case, nz_case, quantised_case, quantised_rows_case
from cases.on_npu import on_npu, to_npu
from sim.ops.random_calls import MANY, few_or_all_groups


def verify(build, seed, **fixed):
    with few_or_all_groups(seed):
        on_npu(build(seed, **fixed)).verify()


@pytest.mark.parametrize("layout", FUSED_LAYOUTS)
@on_device
def test_random_calls(layout):
    for seed in range(6):
        verify(nz_case, seed, layout=layout)


@pytest.mark.parametrize("layout", FUSED_LAYOUTS)
@on_device
def test_quantised_queries(layout):
    for seed in range(6):
        verify(quantised_case, seed, layout=layout)


@on_device
def test_long_calls():
    for seed in range(4):
        verify(nz_case, seed, long=True)
        verify(quantised_case, seed, long=True)


@pytest.mark.parametrize("cache", [torch.float16, torch.int8, torch.float8_e4m3fn])
@pytest.mark.parametrize("block_size", [16, 100, 128])
@pytest.mark.parametrize("head_dim,rope", [(64, 0), (128, 0), (512, 64)])
@on_device
def test_sizes(head_dim, rope, block_size, cache):
    for rows in (1, 17):
        on_npu(exact_case((1, 17, 127, 129), block_size, head_dim, rope, cache, rows)).verify()


@on_device
def test_given_outputs():
    """As a captured graph calls it."""
    case = quantised_case(5, nz=True, kind="rope", layout="TND_NTD", lse=True)
    call = {name: to_npu(value) for name, value in case.kwargs.items()}
    want = operator(case.op)(**call)
    workspace = operator(f"_{case.op}_get_max_workspace")(**call)
    out = [torch.full_like(t, 77) for t in want]
    operator(case.op + ".out")(**call, workspace=workspace, out=out)
    assert all(torch.equal(a, b) for a, b in zip(out, want, strict=True))


@on_device
def test_many_quantised_rows():
    on_npu(quantised_rows_case()).verify()


@on_device
def test_int8_products():
    on_npu(int8_products_case()).verify()


@pytest.mark.parametrize("cache", [torch.bfloat16, torch.int8])
@on_device
def test_blocks_too_long_for_one_copy(cache):
    """Columns of a block lie further apart than a copy can tell."""
    on_npu(exact_case((65553,), 66000, 64, 0, cache, 1, 1, 1)).verify()


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(1000, 1000 + MANY, 50))
@on_device
def test_many_random_calls(first):
    for seed in range(first, first + 50):
        verify(nz_case, seed)
        verify(quantised_case, seed)
