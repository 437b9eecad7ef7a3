"""L2 and shared bandwidth by themselves."""

import npufa_test_time as time_model
import pytest

LINE = 512


@pytest.fixture
def cache():
    return time_model.L2Cache(64 * LINE, LINE)


def test_first_touch_misses_then_hits(cache):
    assert cache.access(0, 1, 8 * LINE, 0, False) == (8, 8, 0)
    assert cache.access(0, 1, 8 * LINE, 0, False) == (8, 0, 0)


def test_unaligned_ranges_touch_the_lines_they_lie_in(cache):
    assert cache.access(LINE - 1, 1, 2, 0, False) == (2, 2, 0)
    assert cache.access(0, 1, 2 * LINE, 0, False) == (2, 0, 0)


def test_strided_bursts(cache):
    assert cache.access(0, 4, 100, 2 * LINE, False) == (4, 4, 0)
    assert cache.access(0, 1, 8 * LINE, 0, False) == (8, 4, 0)


def test_more_than_fits_pushes_the_oldest_out(cache):
    cache.access(0, 1, 64 * LINE, 0, False)
    assert cache.access(0, 1, LINE, 0, False) == (1, 0, 0)  # used again, so it stays
    cache.access(1 << 30, 1, 63 * LINE, 0, False)
    assert cache.access(0, 1, LINE, 0, False) == (1, 0, 0)
    assert cache.access(LINE, 1, LINE, 0, False) == (1, 1, 0)


def test_writes_stay_until_pushed_out(cache):
    assert cache.access(0, 1, 32 * LINE, 0, True) == (32, 0, 0)
    assert cache.access(0, 1, 32 * LINE, 0, False) == (32, 0, 0)  # read back from L2
    _, missed, written_back = cache.access(1 << 30, 1, 128 * LINE, 0, False)
    assert (missed, written_back) == (128, 32)
    assert cache.access(2 << 30, 1, 128 * LINE, 0, False)[2] == 0  # once only


def test_a_ring_that_fits_never_reaches_memory(cache):
    total = 0
    for turn in range(100):
        total += cache.access((turn % 2) * 16 * LINE, 1, 16 * LINE, 0, True)[2]
        assert cache.access((turn % 2) * 16 * LINE, 1, 16 * LINE, 0, False)[1] == 0
    assert total == 0


def test_bandwidth_is_shared():
    bandwidth = time_model.SharedBandwidth(100)
    assert bandwidth.move(0, 6400, 100) == pytest.approx(100)  # 64 bytes per cycle: its own rate
    ends = [bandwidth.move(0, 6400, 100) for _ in range(9)]
    # 64,000 bytes at 100 per cycle.
    assert max(ends) == pytest.approx(640, rel=0.15)
    assert max(ends) >= 640 - 64


def test_bandwidth_of_the_past_is_still_there():
    bandwidth = time_model.SharedBandwidth(100)
    bandwidth.move(6400, 64000, 640)
    assert bandwidth.move(0, 6400, 64) == pytest.approx(64)
