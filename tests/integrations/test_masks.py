"""The rules that npufa's mask function finds, against the matrix that transformers builds for the same call."""

import itertools

import pytest
import torch
from transformers import masking_utils

from npufa.integrations.transformers import LazyMask, npufa_mask

PATTERNS = {
    "causal": masking_utils.causal_mask_function,
    "window": masking_utils.sliding_window_causal_mask_function(4),
    "bidirectional": masking_utils.bidirectional_mask_function,
    "bidirectional window": masking_utils.sliding_window_bidirectional_mask_function(2),
}
PADDINGS = {
    "left": [[1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1]],
    "right": [[1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]],
    "one sequence is empty": [[1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]],
    "none": [[1] * 8] * 3,
}
# query rows, keys, position of the first row and of the first key
GEOMETRIES = {
    "prefill": (8, 8, 0, 0), "static cache": (8, 12, 0, 0), "chunk": (3, 8, 5, 0),
    "chunk of a static cache": (3, 12, 5, 0), "decode": (1, 8, 7, 0), "window cache": (1, 4, 7, 4),
    "window cache, chunk": (3, 6, 5, 2),
}


def call(pattern, geometry, padding, **settings):
    rows, keys, q_offset, kv_offset = GEOMETRIES[geometry]
    arguments = {
        "batch_size": 3, "q_length": rows, "kv_length": keys, "q_offset": q_offset, "kv_offset": kv_offset,
        "mask_function": PATTERNS[pattern], **settings,
        "attention_mask": None if padding is None else torch.tensor(PADDINGS[padding], dtype=torch.bool),
    }
    never = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    expected = masking_utils.sdpa_mask(**arguments | never)
    return npufa_mask(**arguments), expected


def expand(rules, shape):
    """The matrix that rules mean, entry by entry."""
    batch, _, rows, keys = shape
    kept = torch.zeros(shape, dtype=torch.bool)
    for b, i, j in itertools.product(range(batch), range(rows), range(keys)):
        inside = (rules.band.lower is None or j >= i + rules.band.lower) and (
            rules.band.upper is None or j <= i + rules.band.upper)
        token = rules.padding is None or rules.padding.starts[b] <= j < rules.padding.ends[b]
        kept[b, 0, i, j] = inside and token
    return kept


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_rules_mean_the_mask(pattern, geometry):
    for padding in (None, *PADDINGS):
        mask, expected = call(pattern, geometry, padding)
        if mask is None:
            assert pattern in ("causal", "window")
            rows, keys = expected.shape[2:]
            upper_left = torch.ones(rows, keys).tril().bool() if rows > 1 else torch.ones(rows, keys).bool()
            assert torch.equal(expected, upper_left.expand(expected.shape)), padding
            continue
        assert isinstance(mask, LazyMask), padding
        assert torch.equal(expand(mask.rules, mask.shape), expected), padding
        assert torch.equal(mask.dense(), expected), padding


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_no_mask_for_bidirectional_models(geometry):
    for padding in (None, "none"):
        if geometry in ("static cache", "chunk of a static cache") and padding:
            continue
        mask, expected = call("bidirectional", geometry, padding, allow_is_bidirectional_skip=True,
                              allow_is_causal_skip=False)
        assert mask is None and expected.all()


def test_offset_of_a_static_cache_is_a_tensor():
    mask, expected = call("causal", "chunk of a static cache", "left", q_offset=torch.tensor(5))
    assert torch.equal(expand(mask.rules, mask.shape), expected)


def test_gaps_and_two_sided_padding_are_a_matrix():
    for tokens in ([1, 0, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 0]):
        attention_mask = torch.tensor([tokens, [1] * 8], dtype=torch.bool)
        arguments = {"batch_size": 2, "q_length": 8, "kv_length": 8, "attention_mask": attention_mask}
        mask = npufa_mask(**arguments)
        assert not isinstance(mask, LazyMask)
        assert torch.equal(mask, masking_utils.sdpa_mask(**arguments))


def packed(sequences, function, positions):
    """What versions of transformers make: a pair in either order, with and without positions within the sequence."""
    functions = [function]
    if hasattr(masking_utils, "remap_positions_for_packed_sequence"):
        functions.append(masking_utils.remap_positions_for_packed_sequence(function, positions))
    within = masking_utils.packed_sequence_mask_function(sequences)
    return [masking_utils.and_masks(*pair) for inner in functions for pair in ((within, inner), (inner, within))]


@pytest.mark.parametrize("pattern", ["causal", "window"])
def test_packed_sequences(pattern):
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 0, 1]])
    sequences = masking_utils.find_packed_sequence_indices(positions)
    for function in packed(sequences, PATTERNS[pattern], positions):
        arguments = {"batch_size": 2, "q_length": 8, "kv_length": 8, "mask_function": function}
        expected = masking_utils.sdpa_mask(**arguments, allow_is_causal_skip=False, use_vmap=True)
        mask = npufa_mask(**arguments, allow_is_causal_skip=False)
        assert mask.rules.segments.query == mask.rules.segments.key == (3, 8, 14, 16)
        assert mask.rules.band == ((None, 0) if pattern == "causal" else (-3, 0))
        assert torch.equal(mask.dense(), expected)


def test_unknown_functions_are_a_matrix():
    def even_keys(batch_idx, head_idx, q_idx, kv_idx):
        return (kv_idx % 2 == 0) & (q_idx >= 0)

    function = masking_utils.or_masks(masking_utils.causal_mask_function, even_keys)
    mask = npufa_mask(batch_size=1, q_length=4, kv_length=4, mask_function=function, allow_is_causal_skip=False)
    assert mask[0, 0].int().tolist() == [[1, 0, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_lazy_mask_is_a_mask_to_everybody_else():
    mask, expected = call("window", "prefill", "left")
    assert mask.shape == expected.shape and mask.dtype == torch.bool and mask.dim() == 4
    assert mask.contiguous() is mask and mask.rules is not None
    assert torch.equal(mask[:, :, -1:, :4], expected[:, :, -1:, :4])
    assert mask.rules is None  # its values are known to others now
    bias = torch.where(mask, 0.0, -1.0)
    assert torch.equal(bias, torch.where(expected, 0.0, -1.0))
    mask[:, :, 0] = True
    assert mask.dense()[:, :, 0].all()
