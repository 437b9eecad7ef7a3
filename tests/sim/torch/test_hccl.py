"""torch.distributed over simulated chips: torch_npu's own process group on the simulator's HCCL."""

import subprocess
import sys

import pytest
import torch

from distributed.processes import end, on_ranks
from npufa.sim._native import LIBRARY_DIR
from sim.torch import hccl_ranks as ranks

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def processes_of_their_own():
    """Other tests' ranks have no chips, and where autograd ran before there were any it finds none later."""
    end()
    yield
    end()


@pytest.fixture(autouse=True)
def chips():
    on_ranks(4, ranks.simulate)


@pytest.mark.parametrize("op", ["sum", "product", "max", "min"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int64])
def test_all_reduce(dtype, op):
    parts = torch.stack([ranks.part(rank, dtype, 17) for rank in range(3)])
    expected = {"sum": parts.sum(0), "product": parts.prod(0), "max": parts.amax(0), "min": parts.amin(0)}[op]
    for result in on_ranks(3, ranks.all_reduce, dtype, 17, op):
        torch.testing.assert_close(result, expected.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
def test_data_moves(size, dtype):
    count = 129
    own = [ranks.part(rank, dtype, count) for rank in range(size)]
    whole = [torch.cat([ranks.part(rank + 10 * other, dtype, count) for other in range(size)]) for rank in range(size)]
    first = [sum(range(1, rank + 1)) for rank in range(size)]
    for rank, results in enumerate(on_ranks(size, ranks.collectives, dtype, count)):
        expected = {"broadcast": own[0], "gather": torch.cat(own), "scatter": whole[0].chunk(size)[rank],
                    "exchange": torch.cat([w.chunk(size)[rank] for w in whole]),
                    "uneven": torch.cat([w[first[rank]:first[rank] + rank + 1] for w in whole])}  # fmt: skip
        assert results.keys() == expected.keys()
        for name, result in results.items():
            assert torch.equal(result, expected[name]), name


def test_reduce_scatter():
    for rank, result in enumerate(on_ranks(3, ranks.reduce_scatter, torch.float32, 5)):
        assert torch.equal(result, sum(ranks.part(rank + other, torch.float32, 5) for other in range(3)))


@pytest.mark.parametrize("together", [False, True])
def test_pairs(together):
    assert on_ranks(4, ranks.pass_on, together) == [[3.0], [0.0], [1.0], [2.0]]


def test_objects():
    assert on_ranks(2, ranks.objects) == [[{"rank": 0}, {"rank": 1}]] * 2


def test_data_parallel_gradients():
    batches = list(torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(1)))
    separate = on_ranks(2, ranks.train, batches, False)
    mean = [torch.stack(gradients).mean(0) for gradients in zip(*separate, strict=True)]
    for gradients in on_ranks(2, ranks.train, batches, True):
        for gradient, expected in zip(gradients, mean, strict=True):
            torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("form", ["ring", "ulysses"])
def test_context_parallel_attention(form):
    generator = torch.Generator().manual_seed(2)
    query, key, value, dy = torch.randn(4, 1, 2, 33, 16, generator=generator).half()
    settings = {"sparse_mode": 3, "sharding": "contiguous"}
    shards = [*zip(*(t.tensor_split(2, 2) for t in (query, key, value, dy)), strict=True)]
    results = on_ranks(2, ranks.attend, form, shards, settings)
    whole = torch.nn.functional.scaled_dot_product_attention(*(t.double() for t in (query, key, value)), is_causal=True)
    output = torch.cat([result[0] for result in results], 2)
    torch.testing.assert_close(output.double(), whole, atol=2e-3, rtol=2e-3)


def test_illegal_calls_name_the_argument():
    told = on_ranks(1, ranks.all_failures)[0]
    assert told == [
        (1, "HcclCommInitRootInfoConfig: rootInfo is not of HcclGetRootInfo on this host"),
        (1, "HcclCommInitRootInfoConfig: rank is 2; expected less than nRanks = 2"),
        (1, "HcclAllReduce: sendBuf has not 4398046511104 bytes of device memory"),
        (1, "HcclAllReduce: op is 7; expected 0..3 (sum, prod, max, min)"),
        (5, "HcclAllReduce: dataType 15 has no reduction; expected int8, 16, 32, 64, uint8, 64, fp16, 32, 64, bfp16"),
        (1, "HcclBroadcast: root is 1; expected 0..0"),
        (1, "HcclAllReduce: comm is not a live communicator"),
    ]


def test_ranks_that_disagree():
    texts = on_ranks(2, ranks.disagree)
    assert all("expected the same call on both" in text for text in texts), texts
    end()  # their counts of messages differ now


RANK = """
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1])
library.aclGetRecentErrMsg.restype = ctypes.c_char_p
rank, comm = int(sys.argv[2]), ctypes.c_void_p()
root = ctypes.create_string_buffer(sys.argv[3].encode(), 4108)
assert library.HcclCommInitRootInfo(2, root, rank, ctypes.byref(comm)) == 0
if rank == 1:
    os._exit(0)
print(library.HcclBarrier(comm, ctypes.c_void_p()), library.aclGetRecentErrMsg().decode())
"""


def test_a_rank_that_ends_is_named(tmp_path):
    """Whoever waits for it does not wait for HCCL_EXEC_TIMEOUT."""
    command = [sys.executable, "-c", RANK, LIBRARY_DIR / "libnpufa_sim.so"]
    with subprocess.Popen([*command, "1", tmp_path]) as other:
        done = subprocess.run([*command, "0", tmp_path], capture_output=True, text=True, timeout=60)
        assert other.wait(timeout=60) == 0
    assert done.stdout == "21 HcclBarrier: rank 1 has ended; expected its part of HcclBarrier\n", done.stderr


@pytest.mark.parametrize("op", ["sum", "max"])
def test_reduce(op):
    parts = torch.stack([ranks.part(rank, torch.float32, 17) for rank in range(3)])
    assert torch.equal(on_ranks(3, ranks.reduce, 17, op)[2], parts.sum(0) if op == "sum" else parts.amax(0))


def test_varying_counts_and_a_part_of_the_ranks():
    """HCCL's own functions, which torch_npu calls on other chips alone."""
    for rank, (gathered, scattered, pair) in enumerate(on_ranks(3, ranks.varying)):
        assert gathered == [0.0, 1.0, 1.0, 2.0, 2.0, 2.0]
        assert scattered == [sum(10.0 * other + i for other in range(3)) for i in ([0], [1, 2], [3, 4, 5])[rank]]
        assert pair == (None if rank == 0 else 1.0 + 2.0)
