"""atb's operators under torch_npu's names: torch_npu.X, torch_npu.atb.X, torch.ops.atb.X, and those held before."""

import pytest
import torch

from cases import random_case
from cases.atb import OPERATORS, WITH_OUT
from cases.device import on_device
from cases.on_npu import to_npu


def places(op):
    import torch_npu

    holder = torch_npu.atb if op in WITH_OUT else torch_npu
    return [(holder, op), (torch.ops.atb, op)]


@pytest.mark.parametrize("op", OPERATORS)
@on_device
def test_every_name_computes_what_npufa_computes(op):
    import npufa.compat

    case = random_case("atb", 50_000, op=op)

    def written(function):
        kw = {n: v if n in ("seq_len", "context_lens") else to_npu(v) for n, v in case.kwargs.items()}
        function(**kw)
        return kw["out"].cpu()

    overload = "out" if op in WITH_OUT else "default"
    expected = written(getattr(getattr(torch.ops.npufa, op), overload))
    held = getattr(getattr(torch.ops.atb, op), overload)
    before = [getattr(holder, name) for holder, name in places(op)]
    with npufa.compat.routed():
        assert op in npufa.compat.routes()
        for function in [getattr(holder, name) for holder, name in places(op)] + [held]:
            assert torch.equal(written(function), expected)
    assert [getattr(holder, name) for holder, name in places(op)] == before


@on_device
def test_what_npufa_lacks_stays_torch_npus():
    """Its own operators call atb's library, and what that lacks is named."""
    import torch_npu

    import npufa.compat

    with npufa.compat.routed():
        assert "_npu_paged_attention_quant" not in npufa.compat.routes()
        with pytest.raises(RuntimeError, match="atb::.* is not part of the simulated CANN"):
            torch_npu._npu_quant_rms_norm(*[torch.zeros(16, 16).half().npu()] * 6)
