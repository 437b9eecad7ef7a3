"""What kernels of other projects use: headers, operators between tensors, sorting, compilers' functions, printing."""

import re
from pathlib import Path

import numpy as np
import pytest

from npufa import sim
from npufa.sim import Output

KERNELS = Path(__file__).parent.parent / "kernels"
SORTS = [f"sorted<{element}, {full}>" for element in ("float", "half") for full in ("false", "true")]


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "other_names.cpp", kernels=SORTS)


@pytest.fixture
def x():
    return np.random.default_rng(3).integers(-4, 5, 64).astype(np.float32)


def test_operators(kernels, x):
    y = np.random.default_rng(4).integers(1, 5, 64).astype(np.float32)
    numbers, masks, bits = np.zeros((4, 64), np.float32), np.zeros((6, 32), np.uint8), np.zeros((2, 128), np.uint16)
    kernels.launch("operators", [x, y, Output(numbers), Output(masks), Output(bits)])
    np.testing.assert_array_equal(numbers, [x + y, x - y, x * y, x / y])
    kept = np.unpackbits(masks, axis=1, bitorder="little")[:, :64].astype(bool)
    np.testing.assert_array_equal(kept, [x < y, x > y, x == y, x <= y, x >= y, x != y])
    a, b = x.view(np.uint16), y.view(np.uint16)
    np.testing.assert_array_equal(bits, [a | b, a & b])


def test_operators_name_their_line(kernels, x):
    """A finding stands at the expression, not in the simulator's header."""
    with pytest.raises(sim.KernelError) as caught:
        kernels.launch("operators", [x, x, *(Output(np.zeros(256, np.float32)) for _ in range(2)), Output(x[:8])])
    assert all(Path(finding.file).name == "other_names.cpp" for finding in caught.value.findings)


def test_masks(kernels, x):
    out = np.zeros_like(x)
    kernels.launch("masked", [x, Output(out)])
    np.testing.assert_array_equal(out, x + (np.arange(64) < 40) + (np.arange(64) < 8))


@pytest.mark.parametrize("kernel", SORTS)
@pytest.mark.parametrize("groups", [1, 2, 4, 7, 16, 21])
def test_sort(kernels, kernel, groups):
    rng = np.random.default_rng(groups)
    dtype = np.float32 if "float" in kernel else np.float16
    scores = rng.permutation(32 * groups).astype(dtype)
    indices = rng.permutation(32 * groups).astype(np.uint32)
    values, places = np.zeros_like(scores), np.zeros_like(indices)
    kernels.launch(kernel, [scores, indices, Output(values), Output(places), groups])
    lists = 1 if "true" in kernel else groups
    order = np.argsort(-scores.astype(np.float32).reshape(lists, -1), axis=1)
    np.testing.assert_array_equal(values, np.take_along_axis(scores.reshape(lists, -1), order, 1).ravel())
    np.testing.assert_array_equal(places, np.take_along_axis(indices.reshape(lists, -1), order, 1).ravel())


def test_output_is_filled_through_memory_that_is_left(kernels):
    out, left = np.zeros(1008, np.int32), np.zeros(8, np.int32)
    kernels.launch("cleared", [Output(out), Output(left)])
    assert (out[:1000] == 7).all() and (out[1000:] == 0).all()
    assert left[0] == 192 * 1024 - 196000 // 32 * 32


def test_functions(kernels):
    out = np.zeros((4, 16), np.int64)
    kernels.launch("functions", [Output(out)], block_dim=2)
    for core, words in enumerate(out):
        assert words[:12].tolist() == [core // 2, 2, core % 2, 2, 2, 3, 63, 64, 2, 32, 3, 12]


def test_printing(kernels, capfd):
    kernels.launch("printed", [np.arange(16, dtype=np.float32)])
    text = capfd.readouterr().out
    places = re.findall(r"\[group 0 vector 0 other_names\.cpp:(\d+)\]", text)
    assert len(set(places)) == 5
    assert "value 5 of five" in text
    for desc, values in [(11, "[0.000000, 1.000000, 2.000000]"), (12, "[1.000000, 2.000000]"),
                         (13, "[0.000000, 1.000000]"), (14, "[0.000000, 1.000000]")]:  # fmt: skip
        assert values in text.split(f"desc={desc},", 1)[1].split("desc=", 1)[0]


def test_tensor_at_another_address(kernels, x):
    out = np.zeros(32, np.float32)
    kernels.launch("moved", [x, Output(out)])
    np.testing.assert_array_equal(out, x[32:])


def test_matmul_object_raises_by_name(tmp_path):
    source = tmp_path / "object.cpp"
    source.write_text('#include "lib/matmul_intf.h"\nusing namespace AscendC;\nusing A = MatmulType<TPosition::GM, '
                      'CubeFormat::ND, half>;\n'
                      'extern "C" __global__ __aicore__ void k() { Matmul<A, A, A, A> mm; }\n')  # fmt: skip
    with pytest.raises(sim.CompileError, match="no Matmul object"):
        sim.compile_kernel(source)
