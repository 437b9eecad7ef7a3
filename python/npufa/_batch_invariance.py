"""Results that do not depend on what else is in a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def batch_invariant(on: bool = True) -> Iterator[None]:
    """Makes what a sequence gives independent of what else is in the batch and of the number of cores and threads.

    Within the block, in every thread, keys are cut at positions that depend on their own sequence alone: the output of
    a sequence and the gradients of its query, key and value are the same bits alone and in any batch of the same
    layout, types and features. Gradients that sum over the batch (a bias or sink that sequences share) are not. The
    environment variable NPUFA_BATCH_INVARIANT=1 and `torch.use_deterministic_algorithms(True)` do the same everywhere.

    Args:
        on: False takes back what an outer block or the environment variable has asked for.
    """
    before = torch.ops.npufa._ask_for_batch_invariance(on)
    try:
        yield
    finally:
        torch.ops.npufa._ask_for_batch_invariance(before)
