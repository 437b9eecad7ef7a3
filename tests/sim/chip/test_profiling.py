"""Profiles as Python sees them: the C entry points under npufa.sim.profiling, fed with synthetic traces."""

import json
import sys

import pytest

from npufa.sim import profiling
from sim.chip.profiles import KB, attention_like, launch, use_test_module
from sim.chip.traces import CHIP, trace, vector


@pytest.fixture(autouse=True)
def library(monkeypatch):
    return use_test_module(monkeypatch)


def test_report():
    report = profiling.profile(launch, attention_like(), useful_flop=1e6)
    assert report.result == 1
    (kernel,) = report.kernels
    assert (kernel.name, kernel.soc, kernel.clock_mhz, kernel.launch_us) == ("attention", CHIP, 1800, 20)
    assert kernel.us == pytest.approx(kernel.cycles / 1800)
    assert kernel.cube_flop == 6 * 2 * 128**3
    assert kernel.cube_tflops == pytest.approx(kernel.cube_flop / kernel.us * 1e-6)
    assert kernel.cube_peak_tflops == pytest.approx(294.9, abs=0.05)
    assert kernel.cube_percent_of_peak == pytest.approx(100 * kernel.cube_tflops / kernel.cube_peak_tflops)
    assert kernel.hbm_percent == pytest.approx(kernel.hbm_gb_per_s / 16)
    assert kernel.gm_read_bytes == 6 * 3 * 32 * KB and kernel.gm_written_bytes == 6 * 64 * KB
    assert 0 < kernel.l2_hit_percent < 100
    assert kernel.pipe("cube", "M").busy_percent == pytest.approx(100 * 6 * 533 / kernel.cycles)
    assert kernel.pipe("vector", "V").cores == 2
    with pytest.raises(KeyError):
        kernel.pipe("cube", "V")
    assert report.useful_tflops == pytest.approx(1e6 / kernel.us * 1e-6)


def test_percentages_of_a_pipe_add_up_to_the_kernel():
    (kernel,) = profiling.profile(launch, attention_like()).kernels
    for pipe in kernel.pipes:
        parts = (pipe.busy_percent, pipe.bandwidth_percent, pipe.flag_percent, pipe.cross_core_percent,
                 pipe.barrier_percent, pipe.empty_percent, pipe.idle_percent)  # fmt: skip
        assert sum(parts) == pytest.approx(100)
        assert min(parts) >= 0


def test_balance():
    uneven = trace([vector(100)], [vector(300)], [vector(200)])
    (kernel,) = profiling.profile(launch, uneven).kernels
    (balance,) = kernel.balance()
    assert balance.kind == "vector"
    assert balance.busy_us == pytest.approx((100 / 1800, 200 / 1800, 300 / 1800))
    assert balance.finish_us[2] == pytest.approx(kernel.us)


def test_scalar_slack_is_what_the_fullest_core_has_left():
    queued = [vector(40)] * 10
    (kernel,) = profiling.profile(launch, trace(queued, [vector(400)] * 10, [])).kernels
    finish = next(core for core in kernel.cores if core.finish_us > 0).finish_us * 1800
    assert kernel.scalar_slack() == {"vector": pytest.approx((finish - 10 * 8) / 10)}
    assert kernel.cores[1].scalar_slack == pytest.approx((8 + 4000 + 24 - 80) / 10)
    assert kernel.cores[2].scalar_slack == float("inf")
    assert "vector 35 cycles more per instruction" in str(kernel)


def test_table_says_what_it_is():
    text = str(profiling.profile(launch, attention_like(), useful_flop=2e7))
    assert "attention on Ascend910B3 (modelled, not measured)" in text
    parts = ("us", "cycles", "TFLOP/s", "% of peak", "HBM", "L2", "bound", "balance", "kernel.cpp:20", "useful work")
    for part in parts:
        assert part in text
    assert max(map(len, text.splitlines())) <= 130


def test_table_of_several_kernels_sums_them():
    report = profiling.profile(launch, attention_like(), attention_like(2))
    assert report.us == pytest.approx(sum(kernel.us for kernel in report.kernels))
    assert report.launch_us == 40
    assert "2 kernels" in str(report)


def test_nothing_launched(tmp_path):
    report = profiling.profile(lambda: None)
    assert report.kernels == () and report.us == 0
    assert str(report) == "no kernel was launched on the simulated chip"
    with pytest.raises(profiling.ProfileError, match="no trace"):
        report.save_trace(tmp_path / "trace.json")


def test_changed_parameters():
    made = attention_like()
    usual = profiling.profile(launch, made)
    slow = profiling.profile(launch, made, model={"cross_latency": 5000})
    assert slow.kernels[0].cycles - usual.kernels[0].cycles == pytest.approx(4000, abs=50)
    with pytest.raises(profiling.ProfileError, match="no parameter latency"):
        profiling.profile(launch, made, model={"latency": 1})
    assert profiling.profile(launch, made).us == usual.us


def test_profiles_do_not_nest():
    with pytest.raises(profiling.ProfileError, match="do not nest"):
        profiling.profile(lambda: profiling.profile(launch, attention_like()))


def test_failure_of_the_call_ends_the_profile():
    with pytest.raises(ZeroDivisionError):
        profiling.profile(lambda: 1 / 0)
    assert len(profiling.profile(launch, attention_like()).kernels) == 1


def test_launches_outside_a_profile_are_not_kept():
    launch(attention_like())
    assert profiling.profile(lambda: None).kernels == ()


def test_traces_of_older_profiles_stay(tmp_path):
    first = profiling.profile(launch, attention_like())
    profiling.profile(launch, attention_like(2))
    first.save_trace(tmp_path / "first.json")
    assert (tmp_path / "first.json").exists()


def read_trace(path):
    data = json.loads(path.read_text())
    return data, [event for event in data["traceEvents"] if event["ph"] == "X" and event["cat"] != "kernel"]


def test_perfetto_trace(tmp_path):
    report = profiling.profile(launch, attention_like())
    report.save_trace(tmp_path / "trace.json")
    data, slices = read_trace(tmp_path / "trace.json")
    names = {e["args"]["name"] for e in data["traceEvents"] if e["ph"] == "M" and e["name"].endswith("_name")}
    assert {"chip", "group 0 cube", "group 0 vector 0", "group 0 vector 1", "M", "V", "FIX"} <= names
    assert data["otherData"]["note"] == "complete"
    assert "modelled, not measured" in data["otherData"]["source"]
    mmads = [e for e in slices if e["name"] == "Mmad"]
    assert len(mmads) == 6
    assert mmads[0]["dur"] == pytest.approx(533 / 1800, abs=1e-3)
    assert mmads[0]["args"] == {"at": "kernel.cpp:20", "size": "m 128, n 128, k 128"}
    assert max(e["ts"] + e["dur"] for e in slices) <= report.us + 1e-3
    assert any(e["cat"] == "wait" for e in slices)
    assert any(e["ph"] == "C" and e["name"] == "HBM" for e in data["traceEvents"])
    by_thread = {}
    for event in slices:
        by_thread.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for spans in by_thread.values():
        spans.sort()
        assert all(left[1] <= right[0] + 1e-3 for left, right in zip(spans, spans[1:]))


def test_perfetto_trace_is_cut_at_a_time_and_says_so(tmp_path):
    report = profiling.profile(launch, attention_like())
    report.save_trace(tmp_path / "all.json")
    report.save_trace(tmp_path / "cut.json", max_events=20)
    _, everything = read_trace(tmp_path / "all.json")
    data, slices = read_trace(tmp_path / "cut.json")
    assert f"first 20 of {len(everything)} events" in data["otherData"]["note"]
    kept = [e for e in slices if e["cat"] != "note"]
    assert 15 <= len(kept) <= 20
    latest = max(e["ts"] for e in kept)
    assert sum(e["ts"] < latest for e in everything) == sum(e["ts"] < latest for e in kept)


def test_kernels_follow_each_other_in_the_trace(tmp_path):
    report = profiling.profile(launch, attention_like(), attention_like())
    report.save_trace(tmp_path / "trace.json")
    data, slices = read_trace(tmp_path / "trace.json")
    first, second = [e for e in data["traceEvents"] if e.get("cat") == "kernel"]
    assert second["ts"] == pytest.approx(first["dur"], abs=1e-3)
    assert sum(e["ts"] >= second["ts"] - 1e-3 for e in slices) == len(slices) // 2


def test_trace_that_cannot_be_written(tmp_path):
    report = profiling.profile(launch, attention_like())
    with pytest.raises(profiling.ProfileError, match="cannot write"):
        report.save_trace(tmp_path / "missing" / "trace.json")


def test_timeline_bins_are_the_busy_time(library):
    report = profiling.profile(launch, attention_like())
    data = json.loads(library.npufa_sim_profile_timeline(report._id, 0, 50))
    (row,) = [r for r in data["rows"] if r["kind"] == "cube" and r["pipe"] == "M"]
    assert len(row["busy"]) == 50
    assert sum(row["busy"]) / 50 == pytest.approx(report.kernels[0].pipe("cube", "M").busy_percent, abs=1)


def test_timeline_picture(tmp_path):
    image = pytest.importorskip("PIL.Image")
    report = profiling.profile(launch, attention_like(), attention_like(2))
    report.save_timeline(tmp_path / "timeline.png", width=400)
    with image.open(tmp_path / "timeline.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 400
        assert len(picture.getcolors(1 << 20)) > 5


def test_timeline_without_pillow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    report = profiling.profile(launch, attention_like())
    with pytest.raises(ImportError, match=r"npufa\[sim\]"):
        report.save_timeline(tmp_path / "timeline.png")


def test_bad_kernel_of_a_timeline(tmp_path):
    pytest.importorskip("PIL.Image")
    report = profiling.profile(launch, attention_like())
    with pytest.raises(profiling.ProfileError, match="no kernel 3"):
        report.save_timeline(tmp_path / "timeline.png", kernel=3)
