"""npu_prompt_flash_attention through aclnn: every argument reaches the kernel, illegal calls say why."""

import ctypes

import numpy as np
import pytest

from sim.cann.aclnn import AclnnError, DeviceArray, acl, array, call, prepare

INVALID, INFER, TILING = 161002, 561001, 561002
NAME = "NpufaPromptFlashAttention"
UNBOUNDED = 2**31 - 1


def arguments(
    query, key, value, out, *, pse=None, mask=None, lengths=None, kv_lengths=None, scales=(None,) * 5,
    lengths_tensor=None, kv_lengths_tensor=None, heads=1, scale=1.0, pre=UNBOUNDED, next=0, layout="BNSD", kv_heads=0,
    mode=0, inner_precise=1,
):  # fmt: skip
    handle = lambda t: None if t is None else t.handle  # noqa: E731
    optional = map(handle, (*scales, lengths_tensor, kv_lengths_tensor))
    return (
        handle(query), handle(key), handle(value), handle(pse), handle(mask), array("Int", lengths),
        array("Int", kv_lengths), *optional, ctypes.c_int64(heads), ctypes.c_double(scale),
        ctypes.c_int64(pre), ctypes.c_int64(next), layout and ctypes.c_char_p(layout.encode()),
        ctypes.c_int64(kv_heads), ctypes.c_int64(mode), ctypes.c_int64(inner_precise), ctypes.c_bool(False),
        handle(out),
    )  # fmt: skip


def stored(x, layout):
    """A (B, N, S, D) array as the layout stores it."""
    if layout == "BNSD":
        return x
    x = x.transpose(0, 2, 1, 3)
    return np.ascontiguousarray(x.reshape(*x.shape[:2], -1) if layout == "BSH" else x)


def attention(q, k, v, keep, bias=0.0, scale=1.0):
    """float64 result for (B, N, S, D) arrays; rows without keys are 0."""
    k, v = (np.repeat(x.astype(np.float64), q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    scores = np.where(keep, np.einsum("bnid,bnjd->bnij", q.astype(np.float64), k) * scale + bias, -np.inf)
    most = scores.max(-1, keepdims=True, initial=-1e30)
    weights = np.exp(scores - most)
    total = weights.sum(-1, keepdims=True)
    return np.einsum("bnij,bnjd->bnid", weights / np.where(total == 0, 1, total), v)


def draw(batch=2, heads=4, kv_heads=2, q=70, kv=90, dim=32, value_dim=None):
    random = np.random.default_rng(3)
    shapes = (batch, heads, q, dim), (batch, kv_heads, kv, dim), (batch, kv_heads, kv, value_dim or dim)
    return [random.standard_normal(shape).astype(np.float16) for shape in shapes]


def run(q, k, v, layout="BNSD", device=(), **options):
    """The operator's result as (B, N, S, D)."""
    read, written = (layout.split("_") * 2)[:2]
    tensors = [DeviceArray(stored(x, read)) for x in (q, k, v)]
    out = DeviceArray(stored(np.zeros((*q.shape[:3], v.shape[3]), np.float16), written))
    options = {"heads": q.shape[1], "kv_heads": k.shape[1], "scale": q.shape[3] ** -0.5, "layout": layout, **options}
    call(NAME, *arguments(*tensors, out, **options))
    result = out.numpy()
    if written == "BSH":
        result = result.reshape(*result.shape[:2], q.shape[1], -1)
    return result if written == "BNSD" else result.transpose(0, 2, 1, 3)


def check(result, q, k, v, keep=True, bias=0.0):
    np.testing.assert_allclose(result, attention(q, k, v, keep, bias, q.shape[3] ** -0.5), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD", "BNSD_BSND"])
def test_layouts(layout):
    tensors = draw(value_dim=16)
    check(run(*tensors, layout=layout), *tensors)


def test_lengths_on_the_device():
    q, k, v = draw()
    lengths, kv_lengths = DeviceArray(np.array([70, 33])), DeviceArray(np.array([90, 41]))
    result = run(q, k, v, lengths_tensor=lengths, kv_lengths_tensor=kv_lengths)
    expected = run(q, k, v, lengths=[70, 33], kv_lengths=[90, 41])
    np.testing.assert_allclose(result, expected, atol=1e-3)


def test_lengths_in_both_forms():
    tensor = DeviceArray(np.array([90, 41]))
    fails(INFER, "actual_seq_lengths_kv is given twice", kv_lengths=[90, 41], kv_lengths_tensor=tensor)


@pytest.mark.parametrize(
    "mode, keep", [(2, lambda i, j: j <= i), (3, lambda i, j: j <= i + 20), (4, lambda i, j: abs(j - i - 20) <= 9)]
)
def test_sparse_modes(mode, keep):
    tensors = draw()
    i, j = np.ogrid[:70, :90]
    check(run(*tensors, mode=mode, pre=9, next=9), *tensors, keep(i, j))


@pytest.mark.parametrize("shape", [(70, 90), (1, 80, 96), (2, 1, 70, 90), (2, 4, 70, 90)])
def test_masks(shape):
    tensors = draw()
    mask = np.random.default_rng(1).random(shape) < 0.3
    keep = ~mask[..., :70, :90]
    result = run(*tensors, mask=DeviceArray(mask.view(np.uint8)), mode=1)
    check(result, *tensors, keep[:, None] if keep.ndim == 3 else keep)


def test_mask_may_be_a_view():
    tensors = draw()
    mask = np.random.default_rng(1).random((90, 70)) < 0.3
    view = DeviceArray(mask.view(np.uint8), sizes=(70, 90), strides=(1, 70))
    check(run(*tensors, mask=view, mode=1), *tensors, ~mask.T)


def test_pse_shift():
    tensors = draw()
    pse = np.random.default_rng(1).standard_normal((1, 4, 70, 96)).astype(np.float16)
    check(run(*tensors, pse=DeviceArray(pse)), *tensors, bias=pse[..., :90].astype(np.float64))


def test_lengths():
    q, k, v = draw()
    keep = np.zeros((2, 1, 70, 90), bool)
    keep[0, :, :33, :50] = keep[1, :, :70, :1] = True
    check(run(q, k, v, lengths=[33, 70], kv_lengths=[50, 1]), q, k, v, keep)


def test_empty_key():
    q, k, v = draw(kv=0)
    assert not run(q, k, v).any()


def fails(code, *fragments, query=None, key=None, **options):
    q, k, v = (DeviceArray(x) for x in draw())
    out = DeviceArray(np.zeros((2, 4, 70, 32), np.float16))
    with pytest.raises(AclnnError) as error:
        prepare(NAME, *arguments(query or q, key or k, v, out, **{"heads": 4, "kv_heads": 2, **options}))
    assert error.value.code == code
    for fragment in ("EZ", *fragments):
        assert fragment in str(error.value)


def test_illegal_calls_name_the_argument():
    fails(INFER, "EU0001", "npufa::npu_prompt_flash_attention: input_layout", "TND", layout="TND")
    fails(INFER, "npufa::npu_prompt_flash_attention: query has a head axis", heads=8)
    fails(INFER, "num_key_value_heads has a number of heads that does not divide", kv_heads=3)
    fails(INFER, "actual_seq_lengths_kv has a length out of range, got 91", kv_lengths=[91])
    fails(INFER, "sparse_mode is not supported, got 5", mode=5)
    fails(INFER, "atten_mask has the wrong shape", mask=DeviceArray(np.zeros((3, 3), np.uint8)), mode=1)


@pytest.mark.parametrize(
    "index, name",
    [(0, "deq_scale1"), (1, "quant_scale1"), (2, "deq_scale2"), (3, "quant_scale2"), (4, "quant_offset2")],
)
def test_quantisation_is_refused_by_name(index, name):
    scales = [None] * 5
    scales[index] = DeviceArray(np.ones(1, np.float32))
    if name == "quant_offset2":
        scales[3] = DeviceArray(np.ones(1, np.float32))
    if index >= 3:  # an int8 output, which this one is not
        fails(INVALID, "attentionOut has type DT_FLOAT16; expected DT_INT8", scales=scales)
    else:
        fails(INFER, name, scales=scales)


def test_types_are_refused():
    query = DeviceArray(np.zeros((2, 4, 70, 32), np.float32))
    fails(INVALID, "does not support these types together: query DT_FLOAT,", query=query)
    fails(INVALID, "together", query=DeviceArray(np.zeros((2, 4, 70, 32), np.int16), dtype="bfloat16"))
    mask = DeviceArray(np.zeros((70, 90), bool))
    fails(INVALID, "attenMask has type DT_BOOL", "supports DT_UINT8", mask=mask, mode=1)


def test_default_layout_of_an_absent_string():
    q, k, v = (DeviceArray(stored(x, "BSH")) for x in draw())
    out = DeviceArray(np.zeros((2, 70, 4 * 32), np.float16))
    prepare(NAME, *arguments(q, k, v, out, heads=4, kv_heads=2, layout=None))


def test_other_chip_family():
    assert acl.npufa_sim_select_chip(b"Ascend910_9392") == 0
    try:
        tensors = draw()
        check(run(*tensors), *tensors)
    finally:
        assert acl.npufa_sim_select_chip(b"Ascend910B3") == 0
