"""What training code does around an operator needs nothing special: checkpoints, data-parallel processes and hooks."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from cases import Draw
from cases.model import operator

HEADS, DIM = 4, 16


class Block(torch.nn.Module):
    """Projections around causal attention with dropout, (B, S, H) to (B, S, H)."""

    def __init__(self, keep_prob=1.0, version=3):
        super().__init__()
        torch.manual_seed(0)
        self.qkv = torch.nn.Linear(HEADS * DIM, 3 * HEADS * DIM)
        self.out = torch.nn.Linear(HEADS * DIM, HEADS * DIM)
        self.keep_prob = keep_prob
        self.op = operator("npu_fusion_attention" + {1: "", 2: "_v2", 3: "_v3"}[version])

    def forward(self, x):
        query, key, value = self.qkv(x).chunk(3, -1)
        y = self.op(query.contiguous(), key.contiguous(), value.contiguous(), HEADS, "BSH", scale=0.25, sparse_mode=3,
                    keep_prob=self.keep_prob)[0]
        return self.out(y)


def batch(size=4, tokens=12):
    return Draw(2).normal((size, tokens, HEADS * DIM), torch.float32)


def gradients(module):
    return [p.grad for p in module.parameters()]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("keep_prob", [1.0, 0.5])
def test_checkpoint(keep_prob, version, reentrant):
    """The recomputed forward pass draws the seed of the first one."""
    results = []
    for run in (lambda block, x: block(x), lambda block, x: checkpoint(block, x, use_reentrant=reentrant)):
        block, x = Block(keep_prob, version), batch().requires_grad_()
        torch.manual_seed(5)
        loss = run(block, x).square().sum()
        loss.backward()
        results.append([loss.detach(), x.grad, *gradients(block)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def train(rank, world, folder):
    """Gradients of one process, without and with a hook that sends float16."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=world)
    found = []
    for hook in (None, fp16_compress_hook):
        model = DistributedDataParallel(Block())
        if hook:
            model.register_comm_hook(None, hook)
        model(batch().chunk(world)[rank]).square().mean().backward()
        found.append(gradients(model.module))
    torch.save(found, folder / f"rank{rank}")
    dist.destroy_process_group()


def test_data_parallel(tmp_path):
    """Two processes with half a batch each have the gradients of one with all of it."""
    alone = Block()
    alone(batch()).square().mean().backward()
    torch.multiprocessing.spawn(train, (2, tmp_path), nprocs=2)
    for rank in range(2):
        exact, compressed = torch.load(tmp_path / f"rank{rank}")
        for got, sent, want in zip(exact, compressed, gradients(alone), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(sent, want, rtol=2e-3, atol=1e-4)
            assert not torch.equal(sent, want)
