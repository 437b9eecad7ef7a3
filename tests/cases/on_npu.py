"""Cases on the simulated NPU: the same calls, with tensors there and results brought back."""

from __future__ import annotations

import dataclasses

import torch

from .model import Case, one_thread, operator


def to_npu(value):
    """A tensor's copy on the NPU with the strides and the storage offset it has, those of a list, too; anything else as
    it is."""
    if isinstance(value, (list, tuple)):
        return [to_npu(part) for part in value]
    if not isinstance(value, torch.Tensor):
        return value
    storage = torch.empty(0, dtype=value.dtype).set_(value.untyped_storage())
    return storage.npu().as_strided(value.shape, value.stride(), value.storage_offset())


def to_cpu(tensor):
    """A copy on the CPU, also of float8 with strides, which the NPU copies as bits only."""
    if tensor.is_floating_point() and tensor.element_size() == 1:
        return tensor.view(torch.int8).cpu().view(tensor.dtype)
    return tensor.cpu()


def to_meta(value):
    """A tensor on meta, those of a list, too; anything else as it is."""
    if isinstance(value, (list, tuple)):
        return [to_meta(part) for part in value]
    return value.to("meta") if isinstance(value, torch.Tensor) else value


def _poison(dtype):
    return torch.nan if dtype.is_floating_point else 77


def poison(shape, dtype):
    """Leaves NaN in the device memory that the next allocation of this size gets; returns its address."""
    return torch.full(shape, _poison(dtype), dtype=dtype, device="npu").data_ptr()


def _each(function, result):
    """`function` of every tensor of an operator's result."""
    if isinstance(result, (tuple, list)):
        return tuple(_each(function, part) for part in result)
    return function(result) if isinstance(result, torch.Tensor) else result


def call_on_npu(case: Case, **changes):
    """Call with the tensors on the NPU; the result comes back to the CPU."""
    kwargs = {name: to_npu(value) for name, value in {**case.kwargs, **changes}.items()}
    _poison_outputs(case.op, kwargs)
    return _each(torch.Tensor.cpu, operator(case.op)(**kwargs))


def _poison_outputs(op, kwargs):
    """NaN where the outputs will be, as far as shapes can tell: an element that is not written shows."""
    outputs = operator(op)(**{name: to_meta(value) for name, value in kwargs.items()})
    tensors = [t for t in (outputs if isinstance(outputs, (tuple, list)) else [outputs]) if hasattr(t, "dtype")]
    del [torch.full_like(t, _poison(t.dtype), device="npu") for t in tensors][:]  # alive together, then gone


class NpuCase(Case):
    """The same call on the NPU."""

    def call(self, **changes):
        return call_on_npu(self, **changes)

    def verify(self):
        with one_thread():
            return super().verify()


def _memory(tensor, like):
    """All elements of its memory, with what lies between its own: as many as that of `like` has."""
    return tensor.as_strided((like.untyped_storage().nbytes() // like.element_size(),), (1,), 0)


class InPlaceCase(NpuCase):
    """What the operator writes on the NPU comes back to the case's own tensors."""

    def call(self, **changes):
        arguments = {name: to_npu(value) for name, value in {**self.kwargs, **changes}.items()}
        result = _each(to_cpu, Case.call(self, **arguments))
        for name, value in arguments.items():
            if isinstance(value, torch.Tensor):
                whole = _memory(self.kwargs[name], self.kwargs[name])
                whole.copy_(to_cpu(_memory(value, whole)))
        return result


def in_place_on_npu(case: Case) -> InPlaceCase:
    """The same call on the NPU, of an operator that writes its arguments."""
    return InPlaceCase(**{field.name: getattr(case, field.name) for field in dataclasses.fields(case)})


def on_npu(case: Case) -> NpuCase:
    """The same call on the NPU."""
    return NpuCase(**{field.name: getattr(case, field.name) for field in dataclasses.fields(case)})
