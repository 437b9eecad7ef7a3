"""python -m npufa serve-bench: its report follows from its runs."""

import re

import pytest

from npufa.serving.bench import main, workload

SMALL = ["--requests", "6", "--max-length", "64", "--max-num-seqs", "4", "--repeat", "1", "--dtype", "float32"]


def test_report(capsys):
    assert main(SMALL) == 0
    captured = capsys.readouterr()
    assert "token/s" in captured.err  # the progress bar
    for row in ("batched", "one at a time", "int8 cache"):
        assert re.search(rf"^{row} +\d+ +[\d.]+ ms +[\d.]+ ms +0 +[\d.]+ MiB$", captured.out, re.M)
    saved, used, running, longest, per_token = re.search(
        r"paged cache: (-?\d+)% less.*= 1 - (\d+) / \((\d+) x (\d+) x (\d+)\)", captured.out, re.S).groups()
    assert int(running) == 4 and int(longest) == 64 and int(per_token) == 2 * 2 * 2 * 64 * 4
    assert int(saved) == round(100 * (1 - int(used) / (4 * 64 * int(per_token))))
    assert "int8 cache: 0.27 of the bytes per token (544 / 2048)" in captured.out


def test_a_tight_cache_preempts(capsys):
    assert main([*SMALL, "--requests", "12", "--num-blocks", "16", "--block-size", "4"]) == 0
    assert int(re.search(r"^batched +\d+ +[\d.]+ ms +[\d.]+ ms +(\d+)", capsys.readouterr().out, re.M).group(1)) > 0


def test_the_workload_is_reproducible_and_fits():
    load = workload(200, 128, seed=3)
    assert load == workload(200, 128, seed=3) != workload(200, 128, seed=4)
    assert all(1 <= len(p) <= 64 and 1 <= n <= 64 for p, n in zip(load.prompts, load.new_tokens))
    assert len({len(p) for p in load.prompts}) > 20


@pytest.mark.parametrize("arguments, message", [
    (["--num-blocks", "3"], "expected at least 16"), (["--requests", "0"], "2"),
])
def test_illegal_options(arguments, message, capsys):
    with pytest.raises(SystemExit, match=message):
        main(arguments)


@pytest.mark.slow(group="programs")
def test_the_promise_of_the_guide(capsys):
    """At least 60 % less cache memory, about half of it with int8, in under a minute."""
    assert main([]) == 0
    out = capsys.readouterr().out
    assert int(re.search(r"paged cache: (\d+)% less", out).group(1)) >= 60
    assert 0.5 <= float(re.search(r"int8 cache: ([\d.]+) of", out).group(1)) <= 0.55
    assert float(re.search(r"batching: ([\d.]+) times", out).group(1)) > 1.5
