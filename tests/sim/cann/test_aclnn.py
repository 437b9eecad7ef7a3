"""Operators called through their generated entry points: what arrives in the kernel, and what is refused."""

import contextlib
import ctypes

import numpy as np
import pytest

from sim.cann.aclnn import NCHW, ND, NZ, AclnnError, DeviceArray, acl, array, call, create_tensor, execute, ops, prepare

NULLPTR, INVALID, TILING, NO_KERNEL, AICORE = 161001, 161002, 561002, 561003, 507015


def scaled_add(
    x, out, y=None, addends=None, *, scale=2.0, bias=0, mode=None, flip=False, ints=None, floats=None, flags=None
):
    """Arguments of aclnnTestScaledAdd."""
    handle = lambda tensor: None if tensor is None else tensor.handle  # noqa: E731
    return (
        handle(x), handle(y), array("Int", addends), ctypes.c_double(scale), ctypes.c_int64(bias),
        None if mode is None else ctypes.c_char_p(mode.encode()), ctypes.c_bool(flip), array("Int", ints),
        array("Float", floats), array("Bool", flags), handle(out),
    )  # fmt: skip


DEFAULTS = 1 + 2 + 0.5 + 2  # ints, floats, flags


def expected(x, y=0, *, scale=2.0, offset=DEFAULTS):
    return (x.astype(np.float64) * scale + offset + y).astype(x.dtype)


def run(x, **options):
    """The operator's result for numpy arrays; y may be a DeviceArray."""
    y = options.pop("y", None)
    if isinstance(y, np.ndarray):
        y = DeviceArray(y)
    source, out = DeviceArray(x), DeviceArray(np.zeros_like(x))
    call("TestScaledAdd", *scaled_add(source, out, y, **options))
    return out.numpy()


def fails(code, *fragments):
    """Context: an AclnnError of this code whose text has all fragments."""

    @contextlib.contextmanager
    def check():
        with pytest.raises(AclnnError) as error:
            yield
        assert error.value.code == code
        for fragment in fragments:
            assert fragment in str(error.value)

    return check()


@pytest.fixture
def x():
    return np.arange(1000, dtype=np.float32).reshape(10, 100) - 500


# What arrives.


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_defaults_of_absent_arguments(x, dtype):
    x = (x / 64).astype(dtype)
    np.testing.assert_array_equal(run(x), expected(x))


def test_every_kind_of_argument(x):
    y = x[::-1] * 3
    result = run(
        x, y=y, addends=[7, -2], scale=0.5, bias=11, mode="sub", flip=True, ints=[4], floats=[0.25, 0.5], flags=[True]
    )
    np.testing.assert_array_equal(result, expected(x, -y, scale=0.5, offset=5 + 11 + 100 + 4 + 0.75 + 1))


def test_empty_lists_are_not_absent_ones(x):
    np.testing.assert_array_equal(run(x, addends=[], ints=[], floats=[], flags=[]), expected(x, offset=0))


def test_sizes_that_leave_tails():
    for count in (1, 7, 40, 41, 4097):
        x = np.arange(count, dtype=np.float32)
        np.testing.assert_array_equal(run(x), expected(x))


def test_offset_into_storage(x):
    storage = DeviceArray(x, sizes=(3, 100), offset=200)
    out = DeviceArray(np.zeros((3, 100), np.float32))
    call("TestScaledAdd", *scaled_add(storage, out))
    np.testing.assert_array_equal(out.numpy(), expected(x[2:5]))


def test_auto_contiguous_input_may_be_a_view(x):
    square = x.reshape(-1)[:900].reshape(30, 30)
    transposed = DeviceArray(square, strides=(1, 30))
    np.testing.assert_array_equal(run(square.copy(), y=transposed), expected(square, square.T))


def test_one_auto_contiguous_input_makes_all_so(x):
    square = x.reshape(-1)[:900].reshape(30, 30)
    view, out = DeviceArray(square, strides=(1, 30)), DeviceArray(np.zeros_like(square))
    call("TestScaledAdd", *scaled_add(view, out))
    np.testing.assert_array_equal(out.numpy(), expected(square.T))


def test_copies_of_views_are_at_the_end_of_the_workspace(x):
    square = x.reshape(-1)[:900].reshape(30, 30)
    plain, view, out = DeviceArray(square), DeviceArray(square, strides=(1, 30)), DeviceArray(np.zeros_like(square))
    kernel, _ = prepare("TestScaledAdd", *scaled_add(plain, out, plain))
    size, executor = prepare("TestScaledAdd", *scaled_add(plain, out, view))
    assert (kernel, size) == (3600, 4096 + 4096)  # both in units of 512
    with fails(INVALID, f"workspaceSize is {size - 1}", f"at least {size}"):
        execute("TestScaledAdd", size - 1, executor)
    workspace = DeviceArray(np.zeros(size // 4 + 128, np.float32))
    _, executor = prepare("TestScaledAdd", *scaled_add(plain, out, view))
    execute("TestScaledAdd", workspace.host.nbytes, executor, workspace=workspace.address)
    np.testing.assert_array_equal(workspace.numpy()[-1024:-124].reshape(30, 30), square.T)


def test_operands_in_place_may_be_views():
    """Two sequences, of which every other element counts; what lies between stays."""
    numbers = lambda *values: DeviceArray(np.array(values, np.int64), sizes=(2,), strides=(2,))  # noqa: E731
    tokens, positions, lengths, slots = numbers(0, 70, 0), numbers(0, 71, 0), numbers(5, 72, 9), numbers(0, 73, 0)
    sampled, table = DeviceArray(np.array([[11], [12]])), DeviceArray(np.array([[3, 4], [6, 7]]))
    call("NpufaAdvanceStepFlashattn", tokens.handle, sampled.handle, positions.handle, lengths.handle, slots.handle,
         table.handle, None, None, *(ctypes.c_int64(n) for n in (2, 2, 8)))  # fmt: skip
    results = [array.numpy().tolist() for array in (tokens, positions, lengths, slots)]
    assert results == [[11, 70, 12], [5, 71, 9], [6, 72, 10], [29, 73, 57]]


def test_broadcast_view(x):
    row = DeviceArray(np.arange(100, dtype=np.float32), sizes=(10, 100), strides=(0, 1))
    np.testing.assert_array_equal(run(x, y=row), expected(x, np.arange(100)))


def test_handles_may_be_destroyed_between_the_phases(x):
    source, out = DeviceArray(x), DeviceArray(np.zeros_like(x))
    arguments = scaled_add(source, out, addends=[5])
    size, executor = prepare("TestScaledAdd", *arguments)
    acl.aclDestroyIntArray(arguments[2])
    execute("TestScaledAdd", size, executor)
    np.testing.assert_array_equal(out.numpy(), expected(x, offset=DEFAULTS + 5))


def test_repeatable_executor(x):
    source, out = DeviceArray(x), DeviceArray(np.zeros_like(x))
    size, executor = prepare("TestScaledAdd", *scaled_add(source, out))
    assert acl.aclSetAclOpExecutorRepeatable(executor) == 0
    execute("TestScaledAdd", size, executor)
    ctypes.memset(out.address, 0, out.host.nbytes)
    execute("TestScaledAdd", size, executor)
    assert acl.aclDestroyAclOpExecutor(executor) == 0
    np.testing.assert_array_equal(out.numpy(), expected(x))


def test_captured_call_runs_when_the_graph_does(x):
    stream, graph = ctypes.c_void_p(), ctypes.c_void_p()
    assert acl.aclrtCreateStream(ctypes.byref(stream)) == 0
    source, out = DeviceArray(x), DeviceArray(np.zeros_like(x))
    workspace = DeviceArray(np.zeros(x.size, np.float32))
    size, executor = prepare("TestScaledAdd", *scaled_add(source, out))
    assert acl.aclmdlRICaptureBegin(stream, 0) == 0
    execute("TestScaledAdd", size, executor, stream=stream, workspace=workspace.address)
    assert acl.aclmdlRICaptureEnd(stream, ctypes.byref(graph)) == 0
    assert not out.numpy().any()
    for factor in (1, 2):
        changed = x * factor
        ctypes.memmove(source.address, changed.ctypes.data, changed.nbytes)
        assert acl.aclmdlRIExecuteAsync(graph, stream) == 0
        np.testing.assert_array_equal(out.numpy(), expected(changed))
    acl.aclmdlRIDestroy(graph)
    acl.aclrtDestroyStream(stream)


def test_tensor_list_and_output_in_place():
    parts = [np.full(70, 10.0**i, np.float32) for i in range(3)]
    arrays = [DeviceArray(part) for part in parts]
    # The list owns its tensors.
    handles = [create_tensor((70,), "float32", (1,), 0, ND, a.address) for a in arrays]
    tensors = ctypes.c_void_p(acl.aclCreateTensorList((ctypes.c_void_p * 3)(*handles), ctypes.c_uint64(3)))
    total = DeviceArray(np.arange(70, dtype=np.float32))
    call("TestListTotal", tensors, total.handle)
    assert acl.aclDestroyTensorList(tensors) == 0
    np.testing.assert_array_equal(total.numpy(), np.arange(70) + 111)


@pytest.mark.parametrize("shape", [(0,), (3, 0, 5)])
def test_empty_output_launches_nothing(shape):
    x, out = DeviceArray(np.zeros(shape, np.float32)), DeviceArray(np.zeros(shape, np.float32))
    size, executor = prepare("TestScaledAdd", *scaled_add(x, out, mode="unknown to tiling"))
    assert size == 0
    execute("TestScaledAdd", size, executor)


def test_plain_formats_count_as_nd(x):
    source = DeviceArray(x, format=NCHW)
    out = DeviceArray(np.zeros_like(x))
    call("TestScaledAdd", *scaled_add(source, out))
    np.testing.assert_array_equal(out.numpy(), expected(x))


# What is refused.


def test_missing_required_arguments(x):
    source, out = DeviceArray(x), DeviceArray(np.zeros_like(x))
    with fails(NULLPTR, "EZ1001", "aclnnTestScaledAddGetWorkspaceSize", "x is null"):
        prepare("TestScaledAdd", *scaled_add(None, out))
    with fails(NULLPTR, "out is null"):
        prepare("TestScaledAdd", *scaled_add(source, None))
    assert ops.aclnnTestScaledAddGetWorkspaceSize(*scaled_add(source, out), None, None) == NULLPTR


def test_types(x):
    source, out = DeviceArray(x), DeviceArray(np.zeros_like(x))
    integers = DeviceArray(x.astype(np.int32))
    half = DeviceArray(x.astype(np.float16))
    with fails(INVALID, "x has type DT_INT32", "DT_FLOAT, DT_FLOAT16"):
        prepare("TestScaledAdd", *scaled_add(integers, out))
    with fails(INVALID, "together", "x DT_FLOAT", "y DT_FLOAT16"):
        prepare("TestScaledAdd", *scaled_add(source, out, half))
    with fails(INVALID, "together", "out DT_FLOAT16"):
        prepare("TestScaledAdd", *scaled_add(source, half))


def test_formats(x):
    with fails(INVALID, "x has format FORMAT_FRACTAL_NZ"):
        prepare("TestScaledAdd", *scaled_add(DeviceArray(x, format=NZ), DeviceArray(np.zeros_like(x))))


def test_output_sizes_are_inferred(x):
    with fails(INVALID, "out has sizes [100, 10]", "expected [10, 100]"):
        prepare("TestScaledAdd", *scaled_add(DeviceArray(x), DeviceArray(np.zeros((100, 10), np.float32))))


def test_views_where_the_operator_wants_contiguous_tensors(x):
    square = x.reshape(-1)[:900].reshape(30, 30)
    plain, view = DeviceArray(square), DeviceArray(square, strides=(1, 30))
    with fails(INVALID, "out is not contiguous"):
        prepare("TestScaledAdd", *scaled_add(plain, view))
    empty = ctypes.c_void_p(acl.aclCreateTensorList(None, ctypes.c_uint64(0)))
    with fails(INVALID, "total is not contiguous"):
        prepare("TestListTotal", empty, view.handle)


def test_tiling_failure_carries_the_operators_text(x):
    with fails(TILING, "EU0001: mode is unknown, got multiply", "EZ9999", "tiling failed"):
        run(x, mode="multiply")


def test_text_of_an_error_is_not_kept_for_the_next(x):
    with pytest.raises(AclnnError):
        run(x, mode="multiply")
    with pytest.raises(AclnnError) as error:
        prepare("TestScaledAdd", *scaled_add(None, None))
    assert "multiply" not in str(error.value)


def test_chip_without_a_kernel(x):
    assert acl.npufa_sim_select_chip(b"Ascend910_9392") == 0
    try:
        with fails(NO_KERNEL, "TestScaledAdd has no kernel for ascend910_93", "Ascend910_9392"):
            run(x)
        total = DeviceArray(np.zeros(8, np.float32))
        tensors = ctypes.c_void_p(acl.aclCreateTensorList(None, ctypes.c_uint64(0)))
        call("TestListTotal", tensors, total.handle)
    finally:
        assert acl.npufa_sim_select_chip(b"Ascend910B3") == 0


def test_workspace(x):
    source, out = DeviceArray(x), DeviceArray(np.zeros_like(x))
    size, executor = prepare("TestScaledAdd", *scaled_add(source, out))
    assert size == x.nbytes
    with fails(NULLPTR, "workspace is null"):
        execute("TestScaledAdd", 0, executor)
    _, executor = prepare("TestScaledAdd", *scaled_add(source, out))
    with fails(INVALID, "workspaceSize is 8", f"at least {size}"):
        execute("TestScaledAdd", 8, executor)
    with fails(NULLPTR, "executor is null"):
        execute("TestScaledAdd", 0, None)


def test_host_memory_is_refused(x):
    host = create_tensor(x.shape, "float32", (100, 1), 0, ND, ctypes.c_void_p(x.ctypes.data))
    out = DeviceArray(np.zeros_like(x))
    arguments = list(scaled_add(out, out))
    arguments[0] = host
    with fails(INVALID, "x, 4000 bytes from", "not within one allocation of device memory"):
        call("TestScaledAdd", *arguments)
    acl.aclDestroyTensor(host)


def test_faulty_kernel_reports_its_line():
    with fails(AICORE, "test_scaled_add", "out-of-bounds", "test_scaled_add.cpp:", "DataCopyPad"):
        run(np.zeros(8000, np.float32), mode="overrun")
