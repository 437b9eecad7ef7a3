"""Comparison of an operator's result with the reference, with tolerances per type."""

import torch

RELATIVE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
ROUNDING = {torch.float32: 2.0 ** -22, torch.float16: 2.0 ** -10, torch.bfloat16: 2.0 ** -7}
EXACT_SHARE = {torch.float32: 0.97, torch.float16: 0.9, torch.bfloat16: 0.5}
STATISTIC = 2e-5


def tolerance(expected, dtype, magnitude=None, terms=1.0):
    """Elementwise absolute tolerance: relative to the largest value plus rounding of the terms summed."""
    finite = expected[expected.isfinite()]
    allowed = torch.full_like(expected, RELATIVE[dtype] * float(finite.abs().max()) if finite.numel() else 0.0)
    if magnitude is not None:
        allowed = allowed + terms * ROUNDING[dtype] * magnitude
    return allowed + 1e-7


def check(name, actual, expected, allowed):
    """Values within `allowed`, infinities equal, no NaN unless expected."""
    shape, want = tuple(actual.shape), tuple(expected.shape)
    assert shape == want, f"{name}: shape {shape}, expected {want}"
    if expected.numel() == 0:
        return
    actual = actual.detach().double()
    expected = expected.detach()
    for kind in ("isnan", "isposinf", "isneginf"):
        got, want = getattr(torch, kind)(actual), getattr(torch, kind)(expected)
        wrong = (got != want).nonzero()
        assert len(wrong) == 0, f"{name}: {kind} differs at {len(wrong)} places, first {wrong[0].tolist()}"
    error = torch.where(expected.isfinite(), (actual - expected).abs() - allowed, -1.0)
    worst = int(error.argmax())
    if error.flatten()[worst] > 0:
        index = torch.unravel_index(torch.tensor(worst), error.shape)
        at = [int(i) for i in index]
        raise AssertionError(
            f"{name}: {int((error > 0).sum())} of {error.numel()} elements off; at {at} got "
            f"{actual[index].item():.7g}, expected {expected[index].item():.7g} "
            f"± {allowed.expand_as(error)[index].item():.3g}")


def check_statistics(name, actual, expected):
    """Softmax statistics and LSE are float32 whatever the input type."""
    assert actual.dtype == torch.float32, f"{name}: dtype {actual.dtype}"
    finite = expected[expected.isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    check(name, actual, expected, torch.full_like(expected, STATISTIC * (1.0 + largest)))


def check_int8(name, actual, expected, slack, rounding, compute):
    """±1 around the reference (more where the input type is coarse), most exact."""
    assert actual.dtype == torch.int8, f"{name}: dtype {actual.dtype}"
    check(name, actual, expected, slack + rounding + 1.0)
    sure = slack < 0.05
    if int(sure.sum()) >= 200:
        exact = (actual.double() == expected)[sure].double().mean().item()
        assert exact >= EXACT_SHARE[compute], f"{name}: only {exact:.1%} of the int8 values are exact"
