"""CANN's operators besides attention, which torch computes on the simulated device."""

import ctypes
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cases.device import on_device

pytestmark = pytest.mark.simulator

HALF, INT8, INT32, INT64 = torch.float16, torch.int8, torch.int32, torch.int64


def half(*shape):
    return torch.randn(*shape).half()


def rms_norm(x, gamma, epsilon=1e-6):
    x = x.double()
    root = (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()
    return x / root * gamma.double(), 1 / root


def norm(function, added):
    x, gamma = half(5, 32), half(32)
    y, rstd = rms_norm(x, gamma.double() + added)
    return function, (x, gamma), {}, [y, rstd]


def add_rms_norm():
    x1, x2, gamma = half(5, 32), half(5, 32), half(32)
    y, rstd = rms_norm(x1 + x2, gamma, 1e-5)
    return "npu_add_rms_norm", (x1, x2, gamma, 1e-5), {}, [y, rstd, x1 + x2]


def add_rms_norm_quant():
    x1, x2, gamma, scale, zero = half(5, 32), half(5, 32), half(32), torch.full([32], 0.1), torch.full([32], 3)
    y, _ = rms_norm(x1 + x2, gamma)
    quantised = (y / 0.1 + 3).round().clamp(-128, 127)
    return "npu_add_rms_norm_quant", (x1, x2, gamma, scale, zero.to(INT32)), {}, [quantised, None, x1 + x2]


def swiglu():
    x = half(3, 10, 4)
    return "npu_swiglu", (x, 1), {}, [F.silu(x[:, :5].double()) * x[:, 5:]]


def geglu():
    x = half(3, 8)
    gelu = F.gelu(x[:, 4:].double(), approximate="tanh")
    return "npu_geglu", (x,), {}, [x[:, :4] * gelu, gelu]


def fast_gelu():
    x = half(3, 8)
    return "npu_fast_gelu", (x,), {}, [x.double() / (1 + (-1.702 * x.double()).exp())]


def rounded_rows(x, largest):
    scale = x.abs().amax(-1) / largest
    return (x / scale.unsqueeze(-1)).round(), scale


def dynamic_quant():
    x, smooth = half(6, 16), half(2, 16)
    scaled = torch.cat([x[:2].float() * smooth[0], x[2:].float() * smooth[1]])
    options = {"smooth_scales": smooth, "group_index": torch.tensor([2, 6], dtype=INT32)}
    return "npu_dynamic_quant", (x,), options, list(rounded_rows(scaled, 127))


def dynamic_quant_int4():
    x = half(3, 16)
    values, scale = rounded_rows(x.float(), 7)
    packed = [sum((int(v) & 15) << 4 * i for i, v in enumerate(row[j:j + 8])) for row in values for j in (0, 8)]
    signed = [p - (1 << 32) if p >> 31 else p for p in packed]
    return "npu_dynamic_quant", (x,), {"dst_type": torch.quint4x2}, [torch.tensor(signed).view(3, 2), scale]


def quantize():
    x, scale, zero = torch.randn(3, 4), torch.rand(4) + 0.1, torch.randn(4)
    expected = (x * scale * 50 + zero).round().clamp(-128, 127)
    return "npu_quantize", (x, scale * 50, zero, torch.qint8, -1, False), {}, [expected]


def int8s(*shape):
    return torch.randint(-9, 9, shape, dtype=INT8)


def quant_matmul():
    x, w, scale, token = int8s(3, 16), int8s(16, 8), torch.rand(8), torch.rand(3)
    bias = torch.randint(-9, 9, (8,), dtype=INT32)
    expected = (x.double() @ w.double() + bias) * scale * token.unsqueeze(1)
    options = {"pertoken_scale": token, "bias": bias, "output_dtype": torch.bfloat16}
    return "npu_quant_matmul", (x, w, scale), options, [expected]


def quant_matmul_packed_scale():
    x, w = int8s(3, 16), int8s(16, 8)
    scale = torch.tensor([0.25, -0.5])[torch.arange(8) % 2]
    packed = (scale.view(INT32).long() & 0xFFFFFFFF) | 1 << 46  # as npu_trans_quant_param makes it
    return "npu_quant_matmul", (x, w, packed), {"output_dtype": HALF}, [x.double() @ w.double() * scale]


def grouped_matmul(counts):
    x, w, ends = half(7, 16), half(3, 16, 8), [2, 2, 7]
    expected = torch.cat([x[:2].double() @ w[0].double(), x[2:].double() @ w[2].double()])
    groups = torch.tensor([2, 0, 5] if counts else ends)
    options = {"group_list": groups, "split_item": 2, "group_type": 0, "group_list_type": int(counts)}
    return "npu_grouped_matmul", ([x], [w]), options, [expected]


def grouped_matmul_int8():
    x, w, scale, token = int8s(7, 16), int8s(2, 16, 8), torch.rand(2, 8).bfloat16(), torch.rand(7)
    product = torch.cat([x[:3].double() @ w[0].double() * scale[0], x[3:].double() @ w[1].double() * scale[1]])
    options = {"scale": [scale], "per_token_scale": [token], "group_list": torch.tensor([3, 7]),
               "split_item": 2, "group_type": 0, "output_dtype": torch.bfloat16}  # fmt: skip
    return "npu_grouped_matmul", ([x], [w]), options, [product * token.unsqueeze(1)]


def transpose_batchmatmul():
    x, w = half(5, 2, 16), half(2, 16, 32)
    expected = torch.einsum("mbk,bkn->mbn", x.double(), w.double())
    return "npu_transpose_batchmatmul", (x, w), {"perm_x1": [1, 0, 2]}, [expected]


def gating_top_k():
    x, bias = half(6, 16), half(16)
    sigmoid = x.float().sigmoid()
    experts, weights = [], []
    for row, scores in zip(sigmoid, sigmoid + bias.float()):
        groups = sorted(range(4), key=lambda g: -scores[4 * g:4 * g + 4].topk(2).values.sum())[:2]
        allowed = [e for e in range(16) if e // 4 in groups]
        best = sorted(allowed, key=lambda e: -scores[e])[:3]
        experts.append(best)
        weights.append(2.5 * row[best] / row[best].sum())
    options = {"bias": bias, "k_group": 2, "group_count": 4, "group_select_mode": 1, "norm_type": 1,
               "routed_scaling_factor": 2.5, "out_flag": True}  # fmt: skip
    return "npu_moe_gating_top_k", (x, 3), options, [torch.stack(weights), torch.tensor(experts), sigmoid]


def gating_softmax():
    x, finished = half(4, 8), torch.tensor([False, True, False, False])
    weights, experts = x.float().softmax(-1).topk(2)
    experts[1] = 8
    return "npu_moe_gating_top_k_softmax", (x, finished, 2), {}, [weights, experts, torch.tensor(
        [[0, 4], [1, 5], [2, 6], [3, 7]])]


def init_routing():
    x, experts = half(3, 4), torch.tensor([[2, 0], [0, 1], [2, 1]], dtype=INT32)
    rows = torch.tensor([[0, 3], [1, 4], [2, 5]], dtype=INT32)
    # Slots 3, 1 go to expert 0, 4, 5 to 1, 0, 2 to 2; slot s belongs to token s % 3.
    order = [1, 3, 4, 5, 0, 2]
    order = sorted(range(6), key=lambda i: (experts.flatten()[i], i))
    slots = [int(rows.flatten()[i]) for i in order]
    places = [slots.index(s) for s in range(6)]
    return "npu_moe_init_routing", (x, rows, experts, 3), {}, [
        x[[s % 3 for s in slots]], torch.tensor(places), experts.flatten().sort().values]


def init_routing_v2():
    x, experts = half(3, 4), torch.tensor([[2, 0], [0, 3], [2, 1]], dtype=INT32)
    order = [5, 0, 4]  # of experts 1 and 2
    rows = torch.full((6,), -1)
    rows[order] = torch.arange(3)
    expanded = torch.zeros(6, 4)
    expanded[:3] = x[[2, 0, 2]]
    options = {"active_num": 6, "expert_num": 4, "active_expert_range": [1, 3], "expert_tokens_num_type": 1,
               "expert_tokens_num_flag": True}  # fmt: skip
    return "npu_moe_init_routing_v2", (x, experts), options, [expanded, rows, torch.tensor([1, 2]), None]


def init_routing_capacity():
    x, experts = half(3, 4), torch.tensor([[1, 0], [1, 0], [1, 2]], dtype=INT32)
    expanded = torch.zeros(3, 2, 4)
    expanded[0], expanded[1], expanded[2, 0] = x[[0, 1]], x[[0, 1]], x[2]  # the third token of expert 1 is dropped
    options = {"expert_num": 3, "expert_capacity": 2, "drop_pad_mode": 1, "expert_tokens_num_type": 1,
               "expert_tokens_num_flag": True, "active_expert_range": [0, 3]}  # fmt: skip
    return "npu_moe_init_routing_v2", (x, experts), options, [
        expanded, torch.tensor([2, 0, 3, 1, -1, 4]), torch.tensor([2, 3, 1]), None]


def init_routing_quantised():
    x, experts = half(3, 8), torch.tensor([[1, 0], [0, 1], [1, 0]], dtype=INT32)
    values, scale = rounded_rows(x.float(), 127)
    tokens = [0, 1, 2, 0, 1, 2]
    options = {"active_num": 6, "expert_num": 2, "quant_mode": 1, "expert_tokens_num_flag": True,
               "active_expert_range": [0, 2]}  # fmt: skip
    return "npu_moe_init_routing_v2", (x, experts), options, [values[tokens], None, torch.tensor([3, 6]), scale[tokens]]


def finalize_routing(by_row):
    rows, skip, bias, scales = half(6, 4), half(3, 4), half(5, 4), half(3, 2)
    places, experts = torch.randperm(6).to(INT32), torch.randint(0, 5, (3, 2), dtype=INT32)
    expected = skip.double().clone()
    for token in range(3):
        for j in range(2):
            place = places[2 * token + j if by_row else 3 * j + token]
            expected[token] += scales[token, j].double() * (rows[place].double() + bias[experts[token, j]])
    mode = 2 if by_row else 0
    return "npu_moe_finalize_routing", (rows, skip, None, bias, scales, places, experts, mode), {}, [expected]


def compute_expert_tokens():
    return "npu_moe_compute_expert_tokens", (torch.tensor([0, 0, 2, 2, 3], dtype=INT32), 5), {}, [
        torch.tensor([2, 2, 4, 5, 5])]


def re_routing():
    tokens, counts, scales = half(6, 4), torch.tensor([[1, 2], [2, 1]], dtype=INT32), torch.rand(6)
    order = [0, 3, 4, 1, 2, 5]
    return "npu_moe_re_routing", (tokens, counts), {"per_token_scales": scales}, [
        tokens[order], scales[order], torch.tensor(order), torch.tensor([3, 3])]


def token_permute():
    tokens, experts = half(3, 4), torch.tensor([[1, 0], [0, 1], [1, 2]])
    return "npu_moe_token_permute", (tokens, experts), {}, [
        tokens[[0, 1, 0, 1, 2, 2]], torch.tensor([2, 0, 1, 3, 4, 5])]


def token_unpermute():
    rows, places, probs = half(6, 4), torch.tensor([2, 0, 1, 3, 4, 5], dtype=INT32), half(3, 2)
    expected = (rows[places.long()].view(3, 2, 4).double() * probs.unsqueeze(-1)).sum(1)
    return "npu_moe_token_unpermute", (rows, places, probs), {}, [expected]


def top_k_top_p():
    probabilities = torch.tensor([[0.4, 0.05, 0.3, 0.25], [0.1, 0.6, 0.2, 0.1]])
    kept = torch.tensor([[True, False, True, False], [False, True, True, False]])
    logits = probabilities.log()
    expected = logits.masked_fill(~kept, -torch.inf)
    return "npu_top_k_top_p", (logits, torch.tensor([0.5, 0.7]), torch.tensor([3, 4], dtype=INT32)), {}, [expected]


CASES = {
    "rms_norm": lambda: norm("npu_rms_norm", 0), "gemma_rms_norm": lambda: norm("npu_gemma_rms_norm", 1),
    "add_rms_norm": add_rms_norm, "add_rms_norm_quant": add_rms_norm_quant, "swiglu": swiglu, "geglu": geglu,
    "fast_gelu": fast_gelu, "dynamic_quant": dynamic_quant, "dynamic_quant_int4": dynamic_quant_int4,
    "quantize": quantize, "quant_matmul": quant_matmul, "quant_matmul_packed_scale": quant_matmul_packed_scale,
    "grouped_matmul": lambda: grouped_matmul(False), "grouped_matmul_counts": lambda: grouped_matmul(True),
    "grouped_matmul_int8": grouped_matmul_int8, "transpose_batchmatmul": transpose_batchmatmul,
    "gating_top_k": gating_top_k, "gating_softmax": gating_softmax, "init_routing": init_routing,
    "init_routing_v2": init_routing_v2, "init_routing_capacity": init_routing_capacity,
    "init_routing_quantised": init_routing_quantised, "finalize_routing": lambda: finalize_routing(False),
    "finalize_routing_by_row": lambda: finalize_routing(True), "compute_expert_tokens": compute_expert_tokens,
    "re_routing": re_routing, "token_permute": token_permute, "token_unpermute": token_unpermute,
    "top_k_top_p": top_k_top_p,
}  # fmt: skip


def moved(value, device):
    if isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
        return [moved(v, device) for v in value]
    return value.to(device) if isinstance(value, torch.Tensor) else value


def call(function, args, options, device):
    result = getattr(torch.ops.npu, function)(
        *(moved(a, device) for a in args), **{name: moved(v, device) for name, v in options.items()})
    return list(result) if isinstance(result, (tuple, list)) else [result]


def check(found, expected):
    for result, wanted in zip(found, expected, strict=True):
        if wanted is not None:
            torch.testing.assert_close(result.double().cpu(), wanted.double(), rtol=4e-3, atol=2e-3)


@pytest.mark.parametrize("case", CASES)
@on_device
def test_computes_what_its_page_says(case):
    torch.manual_seed(0)
    function, args, options, expected = CASES[case]()
    found = call(function, args, options, "npu")
    check(found, expected)
    for result, shape in zip(found, call(function, args, options, "meta"), strict=True):
        assert result.device.type == "npu"
        assert (result.shape, result.dtype) == (shape.shape, shape.dtype)


def gradients(function, tensors):
    leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in tensors]
    result = function(*leaves)
    result.backward(torch.linspace(-1, 1, result.numel(), device=result.device).view_as(result).to(result.dtype))
    return [leaf.grad.double().cpu() for leaf in leaves if leaf.requires_grad]


def permuted(tokens, experts, probs):
    rows, places = torch.ops.npu.npu_moe_token_permute(tokens, experts)
    return torch.ops.npu.npu_moe_token_unpermute(rows * rows, places, probs)


DIFFERENTIABLE = {
    "rms_norm": (lambda x, g: torch.ops.npu.npu_rms_norm(x, g)[0],
                 lambda x, g: x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * g, [(3, 8), (8,)]),
    "swiglu": (lambda x: torch.ops.npu.npu_swiglu(x), lambda x: F.silu(x[:, :4]) * x[:, 4:], [(3, 8)]),
    "geglu": (lambda x: torch.ops.npu.npu_geglu(x, approximate=0)[0],
              lambda x: x[:, :4] * F.gelu(x[:, 4:]), [(3, 8)]),
    "geglu_left": (lambda x: torch.ops.npu.npu_geglu(x, activate_left=True)[0],
                   lambda x: F.gelu(x[:, :4], approximate="tanh") * x[:, 4:], [(3, 8)]),
    "fast_gelu": (lambda x: torch.ops.npu.npu_fast_gelu(x), lambda x: x * torch.sigmoid(1.702 * x), [(3, 8)]),
    "gelu": (lambda x: torch.ops.npu.npu_gelu(x, approximate="none"), F.gelu, [(3, 8)]),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENTIABLE)
@on_device
def test_gradients(case):
    torch.manual_seed(0)
    function, reference, shapes = DIFFERENTIABLE[case]
    tensors = [torch.randn(shape) for shape in shapes]
    expected = gradients(reference, [t.double() for t in tensors])
    for found, wanted in zip(gradients(function, [t.npu() for t in tensors]), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@on_device
def test_gradients_of_permuted_tokens():
    torch.manual_seed(0)
    tokens, experts, probs = torch.randn(4, 8), torch.tensor([[1, 0], [2, 1], [0, 2], [1, 2]]), torch.rand(4, 2)
    found = gradients(permuted, [tokens.npu(), experts.npu(), probs.npu()])
    # Each token comes back as its square as often as its probabilities say.
    expected = gradients(lambda x, p: x.square() * p.sum(1, keepdim=True), [tokens.double(), probs.double()])
    for result, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("halves", [True, False])
@on_device
def test_rotary_embedding_in_place(halves):
    torch.manual_seed(0)
    positions, angles = torch.tensor([5, 0, 3]), torch.rand(8, 4)
    cache = torch.cat([angles.cos(), angles.sin()], -1)
    fused = torch.randn(3, 5 * 16).npu()  # three heads of queries and two of keys; 8 of 16 dimensions turn
    before = fused.cpu().view(3, 5, 16)
    query, key = fused[:, :48], fused[:, 48:]
    torch.ops.atb._npu_rotary_embedding(positions.npu(), query, key, 16, cache.npu(), halves)
    left = torch.arange(4) if halves else torch.arange(0, 8, 2)
    right = left + (4 if halves else 1)
    complexes = torch.complex(before[..., left], before[..., right])
    turned = complexes * torch.exp(1j * angles[positions]).unsqueeze(1)
    expected = before.clone()
    expected[..., left], expected[..., right] = turned.real, turned.imag
    torch.testing.assert_close(fused.cpu().view(3, 5, 16), expected)


@on_device
def test_matmul_add_fp32_in_place():
    x, w, c = half(2, 4), half(2, 6), torch.randn(4, 6)
    on_npu = c.npu()
    assert torch.ops.atb._npu_matmul_add_fp32(x.npu(), w.npu(), on_npu) is None
    check([on_npu], [c + x.double().t() @ w.double()])


@on_device
def test_add_rms_norm_v2_in_place():
    x1, x2, gamma = half(3, 8), half(3, 8), half(8)
    first, second = x1.npu(), x2.npu()
    rstd = torch.ops.npu.npu_add_rms_norm_v2(first, second, gamma.npu())
    y, expected_rstd = rms_norm(x1 + x2, gamma)
    check([rstd, first, second], [expected_rstd, y, x1 + x2])


@pytest.mark.parametrize("case", ["add_rms_norm", "swiglu", "grouped_matmul", "init_routing_v2", "gating_top_k",
                                  "finalize_routing", "re_routing", "top_k_top_p", "dynamic_quant"])
@on_device
def test_replays_with_other_values(case):
    function, args, options, _ = CASES[case]()
    static, named = [moved(a, "npu") for a in args], {name: moved(v, "npu") for name, v in options.items()}
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        found = call(function, static, named, "npu")
    torch.manual_seed(1)
    _, args, options, expected = CASES[case]()
    for place, value in zip([*static, *named.values()], [*args, *options.values()]):
        for p, v in zip(*((t if isinstance(t, list) else [t]) for t in (place, value))):
            if isinstance(p, torch.Tensor):
                p.copy_(v)
    graph.replay()
    check(found, expected)


@on_device
def test_what_is_not_supported_is_named():
    x = half(2, 8).npu()
    with pytest.raises(ValueError, match="npu::npu_dynamic_quant: quant_mode is not supported by the simulator, "
                                         "got pertensor; expected pertoken or perchannel"):
        torch.ops.npu.npu_dynamic_quant(x, quant_mode="pertensor")
    with pytest.raises(ValueError, match="npu::npu_quant_matmul: group_sizes is not supported by the simulator, got "
                                         "list; expected the default"):
        torch.ops.npu.npu_quant_matmul(int8s(2, 8).npu(), int8s(8, 2).npu(), torch.rand(2).npu(), group_sizes=[1, 1, 8])


@on_device
def test_profiles_name_what_is_not_modelled():
    from npufa import sim

    x, gamma = half(2, 8).npu(), half(8).npu()

    def work():
        for _ in range(2):
            torch.ops.npu.npu_swiglu(torch.ops.npu.npu_rms_norm(x, gamma)[0])
        torch.ops.npu.npu_rms_norm(x, gamma)

    report = sim.profile(work)
    assert (report.kernels, report.not_modelled) == ((), {"npu_rms_norm": 3, "npu_swiglu": 2})
    assert str(report).endswith("not modelled, computed by torch on the CPU: npu_rms_norm 3, npu_swiglu 2")


@on_device
def test_docs_have_every_operator():
    from npufa.sim.operators import TABLE

    page = (Path(__file__).parents[3] / "docs/cann_operators.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| `([^`]+)` \|", page, re.MULTILINE))
    assert rows == {entry.short_name: entry.page for entry in TABLE.values()}


@on_device
def test_every_operator_is_one_of_torch_npu():
    from npufa.sim.operators import TABLE

    for entry in TABLE.values():
        namespace, _, name = entry.name.partition("::")
        assert hasattr(getattr(torch.ops, namespace), name), entry.name


@on_device
def test_python_acl():
    import acl
    from acl.rt import memcpy

    x, y = torch.arange(4.0).npu(), torch.zeros(4)
    assert memcpy(y.data_ptr(), 16, x.data_ptr(), 16, acl.ACL_MEMCPY_DEVICE_TO_HOST) == 0
    assert y.tolist() == [0, 1, 2, 3]
    assert memcpy(y.data_ptr(), 8, x.data_ptr(), 16, acl.ACL_MEMCPY_DEVICE_TO_HOST) != 0  # does not fit
    free, total, code = acl.rt.get_mem_info(acl.ACL_HBM_MEM)
    assert (free, total, code) == (*torch.npu.mem_get_info(), 0)
    pointer, code = acl.rt.malloc(64, acl.ACL_MEM_MALLOC_HUGE_FIRST)
    assert code == 0 and acl.rt.memset(pointer, 64, 1, 64) == 0
    assert ctypes.string_at(pointer, 2) == b"\1\1" and acl.rt.free(pointer) == 0
    assert acl.get_soc_name() == torch.npu.get_device_name()
    assert acl.rt.get_device() == (0, 0)
