"""What the ranks do in tests of npufa.distributed."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F

from npufa.distributed import ring_attention, shard_positions, shard_sequence, ulysses_attention, unshard_sequence

FORMS = {"ring": ring_attention, "ulysses": ulysses_attention}


def attend(group, rank, form, shards, settings):
    """Output, log-sum-exp and gradients of this rank; `shards` has (query, key, value, dy) of each."""
    query, key, value, dy = shards[rank]
    leaves = [t.requires_grad_() for t in (query, key, value)]
    output, lse = FORMS[form](*leaves, group=group, **settings)
    output.backward(dy.to(output.dtype))
    return output.detach(), lse, *(t.grad for t in leaves)


def attend_under_autocast(group, rank, form, shards, settings):
    with torch.autocast("cpu", torch.bfloat16):
        return attend(group, rank, form, shards, settings)


def attend_on_npu(group, rank, form, shards, settings):
    """The same on a simulated NPU, whose tensors Gloo cannot read."""
    import npufa.sim

    npufa.sim.enable("Ascend910B3")
    shards = [[t.npu().detach() for t in shard] for shard in shards]
    results = attend(group, rank, form, shards, settings)
    assert {t.device.type for t in results} == {"npu"}
    return [t.cpu() for t in results]


def attend_without_gradient(group, rank, form, shards, settings):
    with torch.no_grad():
        return FORMS[form](*shards[rank][:3], group=group, **settings)


def failure(group, rank, form, shards, settings, wrong):
    """Type and message of what a call raises; `wrong` has ranks' arguments beyond those of the others."""
    try:
        FORMS[form](*shards[rank][:3], group=group, **{**settings, **wrong.get(rank, {})})
    except Exception as error:
        dist.barrier(group)  # nobody is left inside a collective
        return type(error).__name__, str(error)
    return None


def shard_and_back(group, rank, whole, dim, sharding):
    shard = shard_sequence(whole, dim, group=group, sharding=sharding)
    positions = shard_positions(whole.shape[dim], group=group, sharding=sharding)
    return shard, positions, unshard_sequence(shard, dim, group=group, sharding=sharding)


def unshard(group, rank, shards, dim, sharding):
    return unshard_sequence(shards[rank], dim, group=group, sharding=sharding)


def unshard_failure(group, rank, shards, dim, sharding):
    try:
        unshard_sequence(shards[rank], dim, group=group, sharding=sharding)
    except ValueError as error:
        return str(error)
    return None


def dtensor(group, rank, form, query, key, value, dy, settings):
    """Attention of the local parts of DTensors sharded along the sequence, gradients as DTensors' full tensors."""
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor

    mesh = DeviceMesh.from_group(group, "cpu") if group is not None else DeviceMesh("cpu", range(dist.get_world_size()))
    leaves = [distribute_tensor(t, mesh, [Shard(2)]).requires_grad_() for t in (query, key, value)]
    output, _ = FORMS[form](*(t.to_local() for t in leaves), group=group, **settings)
    output = DTensor.from_local(output, mesh, [Shard(2)], shape=query.shape, stride=query.stride())
    output.backward(distribute_tensor(dy, mesh, [Shard(2)]))
    return output.full_tensor().detach(), *(t.grad.full_tensor() for t in leaves)


class Block(torch.nn.Module):
    """Attention with 4 heads, 2 of key and value, between projections."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention
        self.inward, self.outward = torch.nn.Linear(32, 64), torch.nn.Linear(32, 32)

    def forward(self, hidden):
        query, key, value = self.inward(hidden).split([32, 16, 16], -1)
        query, key, value = (t.unflatten(-1, (-1, 8)) for t in (query, key, value))
        return hidden + self.outward(self.attention(query, key, value).flatten(2))


def model(attention):
    torch.manual_seed(3)
    return torch.nn.Sequential(Block(attention), Block(attention))


def train(model, hidden, target, total, steps=3, world=1):
    """Losses and parameters of steps of SGD; the loss is a sum over this rank's tokens, divided by `total`."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.mse_loss(model(hidden), target, reduction="sum") / total
        (loss * world).backward()  # DDP averages gradients over the ranks
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), [p.detach().clone() for p in model.parameters()]


def train_in_parallel(group, rank, form, hidden, target, sharding):
    """Context-parallel training under DistributedDataParallel: each rank has its shard of the sequence."""
    def attention(query, key, value):
        return FORMS[form](query, key, value, group=group, sharding=sharding, input_layout="BSND", sparse_mode=3)[0]

    parallel = torch.nn.parallel.DistributedDataParallel(model(attention), process_group=group)
    local = [shard_sequence(t, 1, group=group, sharding=sharding) for t in (hidden, target)]
    losses, parameters = train(parallel, *local, hidden.numel(), world=dist.get_world_size(group))
    dist.all_reduce(losses, group=group)
    return losses, parameters


def gradient_on_one_rank(group, rank, form, shard):
    query, key, value, _ = shard
    try:
        FORMS[form](query.requires_grad_(rank == 1), key, value, group=group)
    except ValueError as error:
        return str(error)
    return ""


def call_of_another_group(group, rank, form, shard):
    """What the last of four ranks gets for calling with the group of the others."""
    others = dist.new_group([0, 1, 2])
    try:
        if rank == 3:
            FORMS[form](*shard[:3], group=others)
    except ValueError as error:
        return str(error)
    return ""
