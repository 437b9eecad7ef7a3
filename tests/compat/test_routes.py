"""npufa.compat: which names are routed, that they compute what npufa computes, and that nothing stays behind."""

import threading

import pytest
import torch

from cases import random_case
from cases.device import on_device
from cases.on_npu import to_npu

EXPECTED = {
    "_npu_dropout_gen_mask", "npu_advance_step_flashattn", "npu_fused_infer_attention_score", "npu_fusion_attention",
    "npu_fusion_attention_grad", "npu_fusion_attention_grad_v2", "npu_fusion_attention_grad_v3",
    "npu_fusion_attention_v2", "npu_fusion_attention_v3", "npu_incre_flash_attention", "npu_prompt_flash_attention",
    "_npu_reshape_and_cache", "_npu_reshape_and_cache_siso", "npu_apply_rotary_pos_emb", "npu_attention_update",
    "npu_gather_pa_kv_cache", "npu_interleave_rope", "npu_kv_rmsnorm_rope_cache", "npu_ring_attention_update",
    "npu_rotary_mul", "npu_rotary_mul_backward", "npu_scatter_pa_cache", "npu_scatter_pa_kv_cache",
}
# Soft caps, which torch_npu lacks, are not drawn.
CASES = {
    "npu_fusion_attention": ("fusion", dict(version=1)),
    "npu_fusion_attention_v2": ("fusion", dict(version=2, softcap=False)),
    "npu_fusion_attention_v3": ("fusion", dict(version=3, softcap=False)),
    "npu_fusion_attention_grad": ("fusion_grad", dict(version=1)),
    "npu_fusion_attention_grad_v2": ("fusion_grad", dict(version=2, softcap=False)),
    "npu_fusion_attention_grad_v3": ("fusion_grad", dict(version=3, softcap=False)),
    "npu_prompt_flash_attention": ("prompt", {}),
    "npu_incre_flash_attention": ("incre", {}),
    "npu_fused_infer_attention_score": ("fused_infer", dict(cache="float", softcap=False)),
    "npu_advance_step_flashattn": ("advance_step", {}),
    "npu_scatter_pa_kv_cache": ("scatter", dict(op="npu_scatter_pa_kv_cache", dtype=torch.float16)),
    "npu_gather_pa_kv_cache": ("gather", dict(op="npu_gather_pa_kv_cache", dtype=torch.float16)),
    "npu_ring_attention_update": ("ring_update", {}),
    "npu_rotary_mul": ("rotary", dict(op="npu_rotary_mul")),
    "npu_interleave_rope": ("rotary", dict(op="npu_interleave_rope")),
    "npu_kv_rmsnorm_rope_cache": ("latent", dict(op="npu_kv_rmsnorm_rope_cache")),
}
SETTINGS = dict(num_heads=2, input_layout="BNSD", scale_value=0.25)


def heads(device="npu", dtype=torch.float16):
    """query, key, value (1, 2, 40, 16)."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(1, 2, 40, 16, generator=generator).to(dtype).to(device) for _ in range(3)]


def assert_same(got, want):
    parts = [[t] if isinstance(t, torch.Tensor) else t or [] for t in (got, want)]
    for a, b in zip(*parts, strict=True):
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
        else:
            assert a == b


@on_device
def test_every_operator_of_both_is_routed():
    import npufa.compat

    missing = EXPECTED.difference(npufa.compat.routes())
    assert not missing
    operators = {name.removeprefix("npufa::").partition(".")[0] for name in torch._C._dispatch_get_all_op_names()
                 if name.startswith("npufa::npu_")}
    assert operators <= set(npufa.compat.routes())


@pytest.mark.parametrize("device", ["npu", "cpu", "meta"])
@pytest.mark.parametrize("name", CASES)
@on_device
def test_names_compute_what_npufa_computes(name, device):
    import torch_npu

    import npufa.compat

    kind, fixed = CASES[name]
    for seed in (10_200, 10_201):
        case = random_case(kind, seed, **fixed)
        assert case.op == name

        def arguments(case=case):
            place = {"npu": to_npu, "cpu": lambda v: v.clone() if isinstance(v, torch.Tensor) else v,
                     "meta": lambda v: v.to("meta") if isinstance(v, torch.Tensor) else v}[device]
            return {n: place(v) for n, v in case.kwargs.items()}

        ours = getattr(torch.ops.npufa, name)
        wanted_arguments = arguments()
        held = getattr(torch.ops.npu, name)
        torch.manual_seed(1)
        wanted = ours(**wanted_arguments)
        with npufa.compat.routed():
            for route in (getattr(torch_npu, name), getattr(torch.ops.npu, name).default, held, held.default):
                torch.manual_seed(1)
                given = arguments()
                got = route(**given)
                if device == "meta":
                    assert [t.shape for t in torch.utils._pytree.tree_leaves(got) if isinstance(t, torch.Tensor)] == [
                        t.shape for t in torch.utils._pytree.tree_leaves(wanted) if isinstance(t, torch.Tensor)]
                    continue
                assert_same(got, wanted)
                for argument, value in given.items():  # what the operator writes
                    if isinstance(value, torch.Tensor):
                        assert_same(value, wanted_arguments[argument])


@on_device
def test_the_same_objects_stand_there_afterwards():
    import torch_npu

    import npufa.compat

    names = [name for name in npufa.compat.routes() if hasattr(torch.ops.npu, name)]  # atb's: test_atb.py

    def theirs(name):
        return getattr(torch.ops.npu if hasattr(torch.ops.npu, name) else torch.ops.atb, name)

    def state():
        return [(getattr(torch_npu, n), theirs(n), [(o, getattr(theirs(n), o)) for o in theirs(n).overloads()],
                 [torch._C._dispatch_dump(getattr(theirs(n), o).name()) for o in theirs(n).overloads()]) for n in names]

    before = state()
    npufa.compat.install()
    try:
        assert npufa.compat.installed()
        assert torch_npu.npu_prompt_flash_attention is torch.ops.npufa.npu_prompt_flash_attention
        assert torch.ops.npu.npu_prompt_flash_attention is torch.ops.npufa.npu_prompt_flash_attention
        assert state() != before
    finally:
        npufa.compat.uninstall()
    assert not npufa.compat.installed()
    for was, is_now in zip(before, state(), strict=True):
        assert was[0] is is_now[0] and was[1] is is_now[1]
        assert was[2:] == is_now[2:]
    # torch_npu's own operator is called again: it wants CANN's.
    with pytest.raises(RuntimeError, match="aclnnPromptFlashAttention"):
        torch_npu.npu_prompt_flash_attention(*heads(), **SETTINGS)


@on_device
def test_modes_see_torch_npus_operator_again():
    """Also when they first met it while it was routed."""
    from torch.utils._python_dispatch import TorchDispatchMode

    import npufa.compat

    seen = []

    class Seeing(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    held = torch.ops.npu.npu_incre_flash_attention
    query = torch.empty(1, 2, 1, 16, dtype=torch.float16, device="meta")
    cache = torch.empty(1, 2, 40, 16, dtype=torch.float16, device="meta")
    for block in (npufa.compat.routed, torch.no_grad):
        with block(), Seeing():
            held(query, cache, cache, **SETTINGS)
    assert seen == ["npufa.npu_incre_flash_attention.default", "npu.npu_incre_flash_attention.default"]


@on_device
def test_nesting_and_threads():
    import torch_npu

    import npufa.compat

    ours, theirs = torch.ops.npufa.npu_prompt_flash_attention, torch_npu.npu_prompt_flash_attention
    assert theirs is not ours
    with npufa.compat.routed():
        with npufa.compat.routed():
            npufa.compat.install()
            npufa.compat.install()
        npufa.compat.uninstall()
        assert torch_npu.npu_prompt_flash_attention is ours
    assert torch_npu.npu_prompt_flash_attention is theirs
    npufa.compat.uninstall()

    inside, leave, results = threading.Barrier(4), threading.Event(), []

    def work():
        with npufa.compat.routed():
            inside.wait(timeout=30)
            results.append(torch_npu.npu_prompt_flash_attention is ours)

    def first_out():
        with npufa.compat.routed():
            inside.wait(timeout=30)
        leave.set()

    threads = [threading.Thread(target=f) for f in (work, work, work, first_out)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert leave.is_set() and results == [True] * 3
    assert torch_npu.npu_prompt_flash_attention is theirs

    with pytest.raises(ZeroDivisionError), npufa.compat.routed():
        raise ZeroDivisionError
    assert not npufa.compat.installed()


@on_device
def test_a_name_that_was_bound_meanwhile_is_left_alone():
    import torch_npu

    import npufa.compat

    before = torch_npu.npu_incre_flash_attention
    try:
        with npufa.compat.routed():
            torch_npu.npu_incre_flash_attention = test_nesting_and_threads
        assert torch_npu.npu_incre_flash_attention is test_nesting_and_threads
    finally:
        torch_npu.npu_incre_flash_attention = before


@on_device
def test_gradients_and_autocast():
    import torch_npu

    import npufa.compat

    held = torch_npu.npu_fusion_attention
    grads = []
    for route in ("npufa", "routed", "held"):
        query, key, value = (t.requires_grad_() for t in heads())
        with npufa.compat.routed():
            function = {"npufa": torch.ops.npufa.npu_fusion_attention, "held": held}.get(
                route, torch_npu.npu_fusion_attention)
            output = function(query, key, value, 2, "BNSD", scale=0.25, sparse_mode=3)[0]
        output.square().sum().backward()
        grads.append([output.detach(), query.grad, key.grad, value.grad])
    assert_same(grads[1], grads[0])
    assert_same(grads[2], grads[0])


@on_device
def test_older_spelling_of_the_scale():
    import torch_npu

    import npufa.compat

    tensors = heads()
    want = torch.ops.npufa.npu_fused_infer_attention_score(*tensors, num_heads=2, input_layout="BNSD", scale=0.25)
    with npufa.compat.routed():
        function = torch_npu.npu_fused_infer_attention_score
        assert_same(function(*tensors, **SETTINGS), want)
        assert function.default is torch.ops.npufa.npu_fused_infer_attention_score.default
        with pytest.raises(ValueError, match="scale_value is another spelling of scale, got scale_value=0.25"):
            function(*tensors, **SETTINGS, scale=1)


@on_device
def test_errors_are_npufas():
    import torch_npu

    import npufa.compat

    query, key, value = heads()
    with npufa.compat.routed(), pytest.raises(RuntimeError, match="npufa::npu_prompt_flash_attention: sparse_mode"):
        torch_npu.npu_prompt_flash_attention(query, key, value, **SETTINGS, sparse_mode=9)


def targets(traced):
    return [str(node.target) for node in traced.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("how", ["name", "held"])
@on_device
def test_compiled_graphs_hold_npufas_operators(how):
    from functorch.compile import aot_module_simplified
    from torch_npu import npu_fused_infer_attention_score as held

    import npufa.compat

    graphs = []

    def backend(module, examples):
        def keep(graph, _):
            graphs.append(targets(graph))
            return graph

        return aot_module_simplified(module, examples, fw_compiler=keep)

    tensors = heads()
    arguments = dict(num_heads=2, input_layout="BNSD", scale=0.25)
    want = torch.ops.npufa.npu_fused_infer_attention_score(*tensors, **arguments)
    torch._dynamo.reset()
    with npufa.compat.routed():
        import torch_npu

        def model(query, key, value):
            function = held if how == "held" else torch_npu.npu_fused_infer_attention_score
            return function(query * 1, key, value, **arguments)

        got = torch.compile(model, backend=backend, fullgraph=True)(*tensors)
    torch._dynamo.reset()
    assert_same(list(got), list(want))
    assert graphs == [["aten.mul.Tensor", "npufa.npu_fused_infer_attention_score.default", *graphs[0][2:]]]
    assert not any(target.startswith("npu.") for target in graphs[0])


@on_device
def test_exported_programs_hold_npufas_operators():
    import torch_npu

    import npufa.compat

    class Model(torch.nn.Module):
        def forward(self, query, key, value):
            return torch_npu.npu_prompt_flash_attention(query, key, value, **SETTINGS)

    tensors = tuple(heads())
    want = torch.ops.npufa.npu_prompt_flash_attention(*tensors, **SETTINGS)
    with npufa.compat.routed():
        program = torch.export.export(Model(), tensors)
    assert "npufa.npu_prompt_flash_attention.default" in targets(program)
    assert_same(program.module()(*tensors), want)


@on_device
def test_modules_of_torch_npu_are_routed():
    """Those that call operators look them up by name when they do."""
    from torch_npu.distributed.tensor import _attention

    import npufa.compat

    with npufa.compat.routed():
        assert _attention.torch_npu.npu_fusion_attention is torch.ops.npufa.npu_fusion_attention
        assert _attention.npu.npu_fusion_attention_grad is torch.ops.npufa.npu_fusion_attention_grad


@on_device
def test_operators_of_atb():
    """Under torch_npu's name and in ATB's namespace, also where the name is looked up again."""
    import torch_npu

    import npufa.compat

    key, cache = torch.randn(3, 2, 16).half().npu(), torch.zeros(2, 4, 2, 16).half().npu()
    slots = torch.tensor([5, -1, 0]).npu()
    before = torch_npu._npu_reshape_and_cache_siso
    with npufa.compat.routed():
        torch_npu._npu_reshape_and_cache_siso(key, cache, slots)
        assert torch.equal(cache[1, 1], key[0]) and torch.equal(cache[0, 0], key[2])
        torch.ops.atb._npu_reshape_and_cache(key, key, cache, cache.clone(), slots + 1)
        assert torch.equal(cache[1, 2], key[0])
    assert torch_npu._npu_reshape_and_cache_siso is before
