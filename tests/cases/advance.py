"""Legal calls of npu_advance_step_flashattn."""

import torch

import reference

from .model import Case

IN_PLACE = ("input_tokens", "input_positions", "seq_lens", "slot_mapping")


def advance_case(d, speculative=None):
    """Random request states; block tables just wide enough or wider."""
    speculative = d.chance(0.5) if speculative is None else speculative
    requests, block_size = d.integer(1, 400 if d.long else 40), d.pick(1, 3, 8, 16, 128)
    spec = d.integer(1, 4) if speculative else 0
    size = requests * (1 + spec)
    queries = requests if speculative else d.integer(1, requests)

    def ints(low, high, *shape):
        return d.integers(shape, low, high, torch.int64)

    seq_lens, positions = ints(0, 300, size), ints(0, 300, size)
    reach = max(int(seq_lens.max()), int(positions.max()) + 1 + spec) // block_size + 1
    kwargs = dict(
        input_tokens=ints(0, 1000, size), sampled_token_ids=ints(0, 1000, queries, 1 + spec), input_positions=positions,
        seq_lens=seq_lens, slot_mapping=ints(-1, 1000, size),
        block_tables=d.strided(ints(0, 5000, requests, reach + d.pick(0, 0, 3))),
        num_seqs=requests, num_queries=queries, block_size=block_size)
    if speculative:
        accepted = ints(0, spec, requests)
        for row, count in enumerate(accepted.tolist()):
            kwargs["sampled_token_ids"][row, count + 1:] = -1
        kwargs |= dict(spec_token=ints(0, 1000, requests, spec), accepted_num=accepted)
    before = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in kwargs.items()}
    return Case("npu_advance_step_flashattn", kwargs, lambda: reference.advance_step(**before),
                lambda result, expected: _compare(kwargs, before, expected))


def _compare(kwargs, before, expected):
    for name, want in zip(IN_PLACE, expected):
        assert torch.equal(kwargs[name], want), f"{name}: {kwargs[name].tolist()} != {want.tolist()}"
    for name, value in before.items():
        if name not in IN_PLACE and isinstance(value, torch.Tensor):
            assert torch.equal(kwargs[name], value), f"{name} was changed"
