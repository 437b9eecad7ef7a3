"""atb's attention operators against the dense reference; cases draw masks, empty sequences, padding, folded heads."""

import pytest

from cases import random_case
from cases.atb import MASK_TYPES, OPERATORS


@pytest.mark.parametrize("op", OPERATORS)
def test_random_calls(op):
    for seed in range(30_000, 30_025):
        random_case("atb", seed, op=op).verify()


@pytest.mark.parametrize("op,mask_type", [(op, m) for op, types in MASK_TYPES.items() for m in types])
def test_mask_types(op, mask_type):
    for seed in range(31_000, 31_008):
        random_case("atb", seed, op=op, mask_type=mask_type).verify()

