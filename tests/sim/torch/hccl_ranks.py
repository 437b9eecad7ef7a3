"""What the ranks do in tests of simulated HCCL; each is a process with a simulated chip of its own."""

from __future__ import annotations

import ctypes
import functools

import torch
import torch.distributed as dist

REDUCTIONS = {"sum": dist.ReduceOp.SUM, "product": dist.ReduceOp.PRODUCT, "max": dist.ReduceOp.MAX,
              "min": dist.ReduceOp.MIN}


_groups: dict[int, dist.ProcessGroup] = {}  # by size: the last ranks


def simulate(group, rank):
    """Gives every rank of the world a chip, and a group of HCCL to all that tests use, if they have none yet."""
    if _groups:
        return
    import npufa.sim

    npufa.sim.enable("Ascend910B3")
    world = dist.get_world_size()
    torch.npu.set_device(dist.get_rank())
    for size in range(1, world + 1):
        _groups[size] = dist.new_group([*range(world - size, world)], backend="hccl")


def on_npu(function):
    """With a group of HCCL in place of the given one."""

    @functools.wraps(function)
    def run(group, rank, *arguments):
        return function(_groups[dist.get_world_size(group)], rank, *arguments)

    return run


def part(rank: int, dtype: torch.dtype, count: int) -> torch.Tensor:
    values = torch.arange(count) % 5 + rank + 1
    return values.to(dtype)


@on_npu
def all_reduce(group, rank, dtype, count, op):
    tensor = part(rank, dtype, count).npu()
    dist.all_reduce(tensor, REDUCTIONS[op], group=group)
    assert tensor.device == torch.device("npu", dist.get_rank())
    return tensor.cpu()


@on_npu
def collectives(group, rank, dtype, count):
    """Results of every collective whose result does not need arithmetic, by name."""
    size = group.size()
    own, first = part(rank, dtype, count).npu(), dist.get_global_rank(group, 0)
    whole = torch.cat([part(rank + 10 * other, dtype, count) for other in range(size)]).npu()
    results = {"broadcast": own.clone()}
    dist.broadcast(results["broadcast"], first, group=group)
    results["gather"] = torch.empty_like(whole)
    dist.all_gather_into_tensor(results["gather"], own, group=group)
    results["scatter"] = torch.empty_like(own)
    dist.scatter(results["scatter"], list(whole.chunk(size)) if rank == 0 else None, first, group=group)
    results["exchange"] = torch.empty_like(whole)
    dist.all_to_all_single(results["exchange"], whole, group=group)
    sizes = [*range(1, size + 1)]  # rank r gets r + 1 elements from everybody
    results["uneven"] = torch.empty(size * (rank + 1), dtype=dtype, device="npu")
    dist.all_to_all_single(results["uneven"], whole[:sum(sizes)].contiguous(), [rank + 1] * size, sizes, group=group)
    dist.barrier(group=group)
    return {name: tensor.cpu() for name, tensor in results.items()}


@on_npu
def reduce_scatter(group, rank, dtype, count):
    whole = torch.cat([part(rank + other, dtype, count) for other in range(group.size())]).npu()
    result = torch.empty(count, dtype=dtype, device="npu")
    dist.reduce_scatter_tensor(result, whole, group=group)
    return result.cpu()


@on_npu
def reduce(group, rank, count, op):
    tensor = part(rank, torch.float32, count).npu()
    dist.reduce(tensor, dist.get_global_rank(group, 2), REDUCTIONS[op], group=group)
    return tensor.cpu()


@on_npu
def varying(group, rank):
    """Results of calls whose counts differ from rank to rank, and of a sum among the last two ranks."""
    library, size = ctypes.CDLL("libhccl.so"), group.size()
    comm = ctypes.c_void_p(group._get_backend(torch.device("npu")).get_hccl_comm(rank))
    counts, places = (ctypes.c_uint64 * size)(1, 2, 3), (ctypes.c_uint64 * size)(0, 1, 3)
    stream, u64 = ctypes.c_void_p(torch.npu.current_stream().npu_stream), ctypes.c_uint64

    def memory(tensor):
        return ctypes.c_void_p(tensor.data_ptr())

    own, gathered = torch.full((rank + 1,), float(rank)).npu(), torch.zeros(6).npu()
    assert library.HcclAllGatherV(memory(own), u64(rank + 1), memory(gathered), counts, places, 4, comm, stream) == 0
    whole, scattered = (torch.arange(6.0) + 10 * rank).npu(), torch.zeros(rank + 1).npu()
    assert library.HcclReduceScatterV(memory(whole), counts, places, memory(scattered), u64(rank + 1), 4, 0, comm,
                                      stream) == 0  # fmt: skip
    if rank == 0:
        return gathered.tolist(), scattered.tolist(), None
    part_comm, pair = ctypes.c_void_p(), torch.full((1,), float(rank)).npu()
    assert library.HcclCreateSubCommConfig(ctypes.byref(comm), 2, (ctypes.c_uint32 * 2)(1, 2), u64(7), rank - 1, None,
                                           ctypes.byref(part_comm)) == 0  # fmt: skip
    assert library.HcclAllReduce(memory(pair), memory(pair), u64(1), 4, 0, part_comm, stream) == 0
    assert library.HcclCommDestroy(part_comm) == 0
    return gathered.tolist(), scattered.tolist(), pair.item()


@on_npu
def pass_on(group, rank, together):
    """To the next rank, from the previous one."""
    size = group.size()
    ranks = [dist.get_global_rank(group, other % size) for other in (rank + 1, rank - 1)]
    sent, received = torch.full((1000,), float(rank)).npu(), torch.empty(1000, device="npu")
    if together:
        operations = [dist.P2POp(dist.irecv, received, ranks[1], group), dist.P2POp(dist.isend, sent, ranks[0], group)]
        for work in dist.batch_isend_irecv(operations):
            work.wait()
    elif rank % 2 == 0:  # who sends and who receives first must meet: a pair has a communicator of its own
        dist.send(sent, ranks[0], group=group)
        dist.recv(received, ranks[1], group=group)
    else:
        dist.recv(received, ranks[1], group=group)
        dist.send(sent, ranks[0], group=group)
    return received.unique().tolist()


@on_npu
def objects(group, rank):
    gathered = [None] * group.size()
    dist.all_gather_object(gathered, {"rank": rank}, group=group)
    return gathered


@on_npu
def train(group, rank, batches, data_parallel):
    """Gradients of a layer after a backward pass over this rank's batch."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(7, 3).npu()
    model = data_parallel and torch.nn.parallel.DistributedDataParallel(layer, process_group=group) or layer
    model(batches[rank].npu()).square().mean().backward()
    return [parameter.grad.cpu() for parameter in layer.parameters()]


@on_npu
def attend(group, rank, form, shards, settings):
    """Context-parallel attention whose keys and values travel by HCCL."""
    from distributed import ranks

    shards = [[t.npu().detach() for t in shard] for shard in shards]
    return [t.cpu() for t in ranks.attend(group, rank, form, shards, settings)]


def failures(group, rank):
    """Results and texts of calls of the library itself that cannot be."""
    library, acl = ctypes.CDLL("libhccl.so"), ctypes.CDLL("libascendcl.so")
    acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
    root, comm = ctypes.create_string_buffer(4108), ctypes.c_void_p()

    def told(result):
        return result, acl.aclGetRecentErrMsg().decode()

    yield told(library.HcclCommInitRootInfo(2, root, 0, ctypes.byref(comm)))
    library.HcclGetRootInfo(root)
    yield told(library.HcclCommInitRootInfo(2, root, 2, ctypes.byref(comm)))
    assert library.HcclCommInitRootInfo(1, root, 0, ctypes.byref(comm)) == 0
    memory = torch.zeros(4, device="npu")
    address, nothing = ctypes.c_void_p(memory.data_ptr()), ctypes.c_void_p()
    count = ctypes.c_uint64
    yield told(library.HcclAllReduce(address, address, count(2**40), 4, 0, comm, nothing))
    yield told(library.HcclAllReduce(address, address, count(4), 4, 7, comm, nothing))
    yield told(library.HcclAllReduce(address, address, count(1), 15, 0, comm, nothing))
    yield told(library.HcclBroadcast(address, count(4), 4, 1, comm, nothing))
    assert library.HcclCommDestroy(comm) == 0
    yield told(library.HcclAllReduce(address, address, count(4), 4, 0, comm, nothing))


@on_npu
def all_failures(group, rank):
    return list(failures(group, rank))


@on_npu
def disagree(group, rank):
    """One rank sums what the other one gathers."""
    tensor = torch.ones(4).npu()
    try:
        if rank == 0:
            dist.all_reduce(tensor, group=group)
        else:
            dist.all_gather_into_tensor(torch.empty(8).npu(), tensor, group=group)
    except RuntimeError as error:
        return str(error)
    return None
