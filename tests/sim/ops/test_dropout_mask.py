"""Dropout masks of the NPU: the bits that SPEC section 8 defines, at every size, seed, offset and probability."""

import ctypes
import math

import numpy as np
import pytest
import torch

import reference.dropout
from cases.model import operator
from sim.cann.aclnn import AclnnError, DeviceArray, array, call, prepare

pytestmark = pytest.mark.simulator  # its entry points are called without torch
NAME = "NpufaDropoutMask"
FILLER = 0xEE


def arguments(mask, elements, threshold, seed=1, offset=0, on_device=(None, None)):
    return array("Int", [elements, seed, offset]), *on_device, ctypes.c_int64(threshold), mask.handle


def generate(elements, keep_prob, seed, offset):
    """The operator's bytes; what it leaves unwritten holds FILLER."""
    mask = DeviceArray(np.full((elements + 7) // 8, FILLER, np.uint8))
    call(NAME, *arguments(mask, elements, math.ceil(keep_prob * 2**32), seed, offset))
    return mask.numpy()


def verify(elements, keep_prob, seed, offset):
    kept = reference.dropout.philox_mask(seed, offset, elements, keep_prob)
    want = reference.dropout.pack_bits(kept).numpy()
    np.testing.assert_array_equal(generate(elements, keep_prob, seed, offset), want)


@pytest.mark.parametrize("elements", [1, 2, 7, 8, 9, 17, 4095, 4096, 4097, 12287, 12289, 163840, 163841, 1_000_003])
def test_sizes(elements):
    verify(elements, 0.7, seed=12345, offset=3)


@pytest.mark.parametrize("keep_prob", [1e-12, 2.0**-32, 1.5 * 2.0**-32, 0.1, 0.5, 0.9, 1 - 2.0**-32, 1 - 1e-12])
def test_probabilities(keep_prob):
    verify(50_001, keep_prob, seed=7, offset=0)


@pytest.mark.parametrize("seed", [0, 1, 0xFFFFFFFF, 1 << 32, -1, -(2**63), 2**63 - 1])
def test_seeds(seed):
    verify(5000, 0.5, seed, offset=11)


@pytest.mark.parametrize(
    "offset", [2**31 - 700, 2**32 - 12500, 2**32 - 1, 2**32, 5 * 2**32 - 100, 2**63 - 1000, -100, -1])
def test_counters_carry(offset):
    """Into the upper word of the counter at any place, into its sign, and around its end."""
    verify(100_001, 0.5, seed=99, offset=offset)


def test_words_near_the_threshold():
    """Thresholds at and around words that occur."""
    words = reference.dropout.philox_words(5, 0, 4096)
    for word in (*words[:6].tolist(), int(words.max()), int(words.min())):
        for threshold in (word, word + 1):
            if threshold > 0:
                verify(4096, threshold / 2**32, seed=5, offset=0)


def test_random_calls():
    random = np.random.default_rng(17)
    for _ in range(60):
        elements = int(random.integers(1, 2 ** random.integers(1, 18)))
        seed, offset = random.integers(-(2**63), 2**63, 2).tolist()
        verify(elements, float(random.uniform(1e-6, 1)), seed, offset >> int(random.integers(0, 63)))


@pytest.mark.parametrize("keep_prob, seed, offset", [(0.9, 42, 0), (0.3, -7, 2**32 - 5), (1 - 2.0**-12, 3, -60)])
def test_same_as_the_cpu_operator(keep_prob, seed, offset):
    """Equal weights times the identity: the CPU operator's output is not zero where it keeps an element."""
    batch, heads, rows, columns = 2, 3, 37, 41
    query, key = torch.zeros(batch, heads, rows, columns), torch.zeros(batch, heads, columns, columns)
    value = torch.eye(columns).expand(batch, heads, -1, -1)
    out = operator("npu_fusion_attention")(
        query, key, value, heads, "BNSD", keep_prob=keep_prob, seed=seed, offset=offset)[0]
    want = reference.dropout.pack_bits((out != 0).flatten()).numpy()
    np.testing.assert_array_equal(generate(out.numel(), keep_prob, seed, offset), want)


@pytest.mark.parametrize("seed, offset", [(42, 0), (-7, 2**32 - 5), (2**63 - 1, 60)])
def test_seed_and_offset_on_the_device(seed, offset):
    """They replace the numbers of the host."""
    elements = 20_001
    mask = DeviceArray(np.full((elements + 7) // 8, FILLER, np.uint8))
    numbers = [DeviceArray(np.array([value], np.int64)) for value in (seed, offset)]
    call(NAME, *arguments(mask, elements, 2**31, 1, 2, [number.handle for number in numbers]))
    np.testing.assert_array_equal(mask.numpy(), generate(elements, 0.5, seed, offset))


def test_seed_without_offset():
    mask, seed = DeviceArray(np.full(2, FILLER, np.uint8)), DeviceArray(np.array([1], np.int64))
    with pytest.raises(AclnnError, match="offset does not go with seed"):
        prepare(NAME, *arguments(mask, 16, 5, on_device=(seed.handle, None)))


def test_no_elements():
    mask = DeviceArray(np.empty(0, np.uint8))
    call(NAME, *arguments(mask, 0, 1))


@pytest.mark.parametrize("threshold", [0, -1, 2**32 + 1])
def test_threshold_out_of_range(threshold):
    mask = DeviceArray(np.full(2, FILLER, np.uint8))
    with pytest.raises(AclnnError, match=rf"threshold is out of range, got {threshold}; expected keep_prob \* 2\^32"):
        prepare(NAME, *arguments(mask, 16, threshold))


def test_wrong_size_of_the_mask():
    with pytest.raises(AclnnError, match="mask"):
        prepare(NAME, *arguments(DeviceArray(np.full(3, FILLER, np.uint8)), 16, 5))
