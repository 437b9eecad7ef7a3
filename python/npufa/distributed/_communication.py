"""What travels between the ranks of a group.

A backend without support for the tensors' device (Gloo for an NPU) gets copies in host memory; the results are copied
back. HCCL takes NPU tensors as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def group_size_and_rank(name: str, group: dist.ProcessGroup | None) -> tuple[int, int]:
    """Returns size and own rank; raises where there is no group to talk to."""
    if not dist.is_available() or not dist.is_initialized():
        raise RuntimeError(f"npufa.{name}: group has no process group behind it, got {group}; expected "
                           "torch.distributed.init_process_group to have been called")
    rank = dist.get_rank(group)
    if rank < 0:
        raise ValueError(f"npufa.{name}: group does not contain this process, got rank {rank}; expected a call by "
                         "members of the group only")
    return dist.get_world_size(group), rank


def travel_device(tensor: Tensor, group: dist.ProcessGroup | None) -> torch.device:
    """Where the group's backend can read a tensor of this device: there, or in host memory."""
    backends = dist.get_backend_config(group)
    supported = {entry.split(":")[0] for entry in backends.split(",")}
    return tensor.device if tensor.device.type in supported else torch.device("cpu")


def agree(
    name: str, group: dist.ProcessGroup | None, facts: Callable[[], Mapping[str, Any]], own: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Returns the facts of all ranks, or raises on all of them when one raised or one differs.

    Args:
        facts: evaluated on every rank; it may raise.
        own: names of those in which ranks may differ.
    """
    size, rank = group_size_and_rank(name, group)
    failure: Exception | None = None
    try:
        answer: tuple[Mapping[str, Any], str] = (dict(facts()), "")
    except Exception as error:  # whatever it is, the others must not wait for this rank
        failure, answer = error, ({}, str(error))
    answers: list[Any] = [None] * size
    dist.all_gather_object(answers, answer, group=group)
    if failure is not None:
        raise failure
    for other, (_, message) in enumerate(answers):
        if message:
            raise ValueError(f"npufa.{name}: rank {other} of the group failed, got {message!r}; expected a legal call "
                             "on every rank")
    first = answers[0][0]
    for other, (values, _) in enumerate(answers):
        for fact, value in values.items():
            if fact not in own and value != first[fact]:
                raise ValueError(f"npufa.{name}: {fact} differs between ranks, got {first[fact]} on rank 0 and {value} "
                                 f"on rank {other}; expected the same on all ranks")
    return [values for values, _ in answers]


class Transfer:
    """Tensors on their way from the previous rank while own ones go to the next."""

    def __init__(self, requests: list[dist.Work], received: list[Tensor], sent: list[Tensor], device: torch.device):
        self._requests, self._received, self._device = requests, received, device
        self._sent = sent  # not to be freed before it has arrived

    def wait(self) -> list[Tensor]:
        """Returns the tensors of the previous rank."""
        for request in self._requests:
            request.wait()
        self._sent.clear()
        return [t.to(self._device) for t in self._received]


class Ring:
    """The ranks of a group, each passing tensors on to the next one."""

    def __init__(self, name: str, group: dist.ProcessGroup | None):
        self.group = group
        self.size, self.rank = group_size_and_rank(name, group)

    def pass_on(self, tensors: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> Transfer:
        """Starts sending tensors; the previous rank's have these shapes, and dtypes and device of those sent."""
        device = tensors[0].device
        if self.size == 1:
            return Transfer([], [*tensors], [], device)
        travel = travel_device(tensors[0], self.group)
        sent = [t.contiguous().to(travel) for t in tensors]
        received = [torch.empty(shape, dtype=t.dtype, device=travel) for shape, t in zip(shapes, tensors)]
        following, previous = (self.rank + 1) % self.size, (self.rank - 1) % self.size
        operations = [dist.P2POp(dist.isend, t, group=self.group, group_peer=following) for t in sent if t.numel()]
        operations += [dist.P2POp(dist.irecv, t, group=self.group, group_peer=previous) for t in received if t.numel()]
        requests = dist.batch_isend_irecv(operations) if operations else []
        return Transfer(requests, received, sent, device)


def all_to_all(
    pieces: Sequence[Tensor], received_sizes: Sequence[int], group: dist.ProcessGroup | None
) -> tuple[Tensor, ...]:
    """Sends flat piece number r to rank r and returns those of all ranks, flat and of these sizes; differentiable."""
    sent = torch.cat([*pieces])
    device, travel = sent.device, travel_device(sent, group)
    sent = sent.to(travel)
    received = _AllToAll.apply(sent, [piece.numel() for piece in pieces], [*received_sizes], group)
    return received.to(device).split([*received_sizes])


class _AllToAll(torch.autograd.Function):
    """The differentiable one of torch.distributed.nn is deprecated in favour of a private module."""

    @staticmethod
    def forward(ctx: Any, sent: Tensor, sizes: list[int], received_sizes: list[int], group: Any) -> Tensor:
        ctx.arguments = sizes, received_sizes, group
        received = sent.new_empty(sum(received_sizes))
        dist.all_to_all_single(received, sent, received_sizes, sizes, group=group)
        return received

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sizes, received_sizes, group = ctx.arguments
        received = gradient.new_empty(sum(sizes))
        dist.all_to_all_single(received, gradient.contiguous(), sizes, received_sizes, group=group)
        return received, None, None, None


def all_gather(tensor: Tensor, dim: int, lengths: Sequence[int], group: dist.ProcessGroup | None) -> list[Tensor]:
    """Returns the tensors of all ranks, which have these lengths along `dim`."""
    travel = travel_device(tensor, group)
    longest = tensor.movedim(dim, 0).to(travel)
    longest = torch.cat([longest, longest.new_zeros(max(lengths) - len(longest), *longest.shape[1:])])
    gathered = [torch.empty_like(longest) for _ in lengths]
    dist.all_gather(gathered, longest, group=group)
    return [t[:length].movedim(0, dim).to(tensor.device) for t, length in zip(gathered, lengths)]
