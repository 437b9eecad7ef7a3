"""The time model on synthetic traces: rates, order, sharing, accounting."""

import npufa_test_time as time_model
import pytest

from sim.chip.traces import (
    CHIP,
    GM,
    GROUPS,
    Op,
    Pipe,
    Record,
    barrier,
    barrier_all,
    clock_hz,
    cross_set,
    cross_wait,
    cycles,
    load,
    mmad,
    parameter,
    replay,
    set_flag,
    store,
    trace,
    vector,
    wait_flag,
)  # fmt: skip

KB, MB = 1 << 10, 1 << 20
HBM_REACHED = parameter("hbm_bandwidth") * parameter("hbm_efficiency")


def seconds(report):
    return report["us"] * 1e-6


# Rates the description allows.


def test_stream_of_matmuls_runs_at_peak_less_its_starts():
    report = replay(trace(*[[mmad()]] * GROUPS, kind="cube", repeat=2000))
    rate = report["cube_flop"] / seconds(report)
    assert report["cube_flop"] == GROUPS * 2000 * 2 * 128**3
    assert rate == pytest.approx(time_model.cube_peak(CHIP, time_model.MmadType.half) * 512 / (512 + 21), rel=1e-3)
    assert (report["bound"], report["bound_share"]) == ("cube M", pytest.approx(1, rel=1e-3))


def test_percent_of_peak_counts_the_type():
    int8 = replay(trace([mmad(dtype=time_model.MmadType.int8)], kind="cube", repeat=500))
    half = replay(trace([mmad()], kind="cube", repeat=500))
    assert int8["cube_flop"] == half["cube_flop"]
    assert half["cube_peak_cycles"] == 2 * int8["cube_peak_cycles"] == 500 * 512


def copies(cores, per_core, chunk=32 * KB, cold=True):
    """Loads of `per_core` bytes per vector core, of its own or of one common region."""
    return [
        [load(GM + (core * per_core if cold else 0) + at, chunk) for at in range(0, per_core, chunk)]
        for core in range(cores)
    ]


def test_one_core_copies_at_its_port_rate():
    report = replay(trace(*copies(1, 16 * MB, chunk=128 * KB)))
    assert report["gm_read_bytes"] / report["cycles"] == pytest.approx(parameter("gm_to_ub"), rel=0.03)


def test_all_cores_together_get_hbm_bandwidth():
    report = replay(trace(*copies(2 * GROUPS, 4 * MB, chunk=256 * KB)))
    assert report["hbm_read_bytes"] == report["gm_read_bytes"] == 160 * MB
    assert report["hbm_read_bytes"] / seconds(report) == pytest.approx(HBM_REACHED, rel=0.02)
    assert report["hbm_read_bytes"] / seconds(report) <= HBM_REACHED
    assert report["bound"] == "HBM"
    use = report["cores"][7]["pipes"]["MTE2"]
    assert use["bandwidth"] > use["busy"]  # ports could do more than twice that


def test_cores_share_fairly():
    finish = [core["finish"] for core in replay(trace(*copies(2 * GROUPS, 4 * MB)))["cores"]]
    assert min(finish) > 0.85 * max(finish)


def test_what_l2_holds_is_read_from_memory_once():
    common = replay(trace(*copies(2 * GROUPS, 4 * MB, cold=False)))
    assert common["hbm_read_bytes"] == 4 * MB
    own = replay(trace(*copies(2 * GROUPS, 4 * MB)))
    assert common["cycles"] < 0.6 * own["cycles"]
    ports = 2 * GROUPS * parameter("gm_to_ub") * clock_hz()
    assert common["gm_read_bytes"] / seconds(common) > 0.85 * min(ports, parameter("l2_bandwidth"))


def test_l2_bandwidth_is_a_limit():
    report = replay(trace(*copies(2 * GROUPS, 4 * MB, cold=False)), l2_bandwidth=1e12)
    assert report["gm_read_bytes"] / seconds(report) == pytest.approx(1e12, rel=0.02)
    assert report["bound"] == "L2"


def test_a_working_set_beyond_l2_comes_from_memory_every_time():
    size = 256 * MB  # L2 has 192
    once = [load(GM + at, 256 * KB) for at in range(0, size, 256 * KB)]
    assert replay(trace(once * 2))["hbm_read_bytes"] == 2 * size
    small = [load(GM + at, 256 * KB) for at in range(0, size // 2, 256 * KB)]
    assert replay(trace(small * 2))["hbm_read_bytes"] == size // 2


def test_writes_reach_memory_only_beyond_l2():
    def written(size):
        report = replay(trace([store(GM + at, 256 * KB) for at in range(0, size, 256 * KB)]))
        assert report["gm_written_bytes"] == size and report["hbm_read_bytes"] == 0
        return report["hbm_written_bytes"]

    assert written(128 * MB) == 0
    assert written(256 * MB) == pytest.approx(64 * MB, rel=0.01)


def test_writes_beyond_l2_run_at_hbm_bandwidth():
    size, chunk = 16 * MB, 64 * KB
    cores = [[store(GM + core * size + at, chunk) for at in range(0, size, chunk)] for core in range(2 * GROUPS)]
    report = replay(trace(*cores))
    assert report["hbm_written_bytes"] == pytest.approx((640 - 192) * MB, rel=0.01)
    evicting = report["hbm_written_bytes"] * parameter("hbm_write") / HBM_REACHED
    filling = 192 * MB / (2 * GROUPS * parameter("ub_to_gm") * clock_hz())
    assert seconds(report) == pytest.approx(evicting + filling, rel=0.05)


def test_lines_from_memory_arrive_later():
    made = trace([load(GM, 512)])
    assert replay(made, hbm_latency=1250)["cycles"] - replay(made, hbm_latency=250)["cycles"] == 1000
    warm = trace([load(GM, 512), barrier_all(), load(GM, 512)])
    assert replay(warm, hbm_latency=1250)["cycles"] - replay(warm, hbm_latency=250)["cycles"] == 1000


# What slows HBM and L2 down.


def bursts(core, count, size, stride, offset=0, past_l2=False):
    """`count` transfers of 64 rows each, of a region of this core's own."""
    manner = time_model.Manner.past_l2 if past_l2 else time_model.Manner.plain
    first = GM + core * 64 * count * stride + offset
    return [Record(Op.gm_to_ub, Pipe.MTE2, 64 * size, 64, size, stride, first + i * 64 * stride, manner=manner)
            for i in range(count)]  # fmt: skip


def test_rows_that_start_inside_a_block_take_a_line_more_of_hbm():
    def took(size, offset):
        return cycles(*[bursts(core, 64, size, size, offset) for core in range(2 * GROUPS)])

    assert took(2048, 2) / took(2048, 0) == pytest.approx(1.25, rel=0.05)
    assert took(512, 2) / took(512, 0) == pytest.approx(2, rel=0.05)


def test_reads_past_l2_leave_nothing_there():
    def took(past_l2):
        return replay(trace(bursts(0, 16, 1024, 1024, past_l2=past_l2) * 2))

    assert took(False)["hbm_read_bytes"] == MB
    assert took(True)["hbm_read_bytes"] == 2 * MB


def test_short_rows_past_l2_take_more_of_hbm_than_their_bytes():
    report = replay(trace(*[bursts(core, 64, 128, 1024, past_l2=True) for core in range(2 * GROUPS)]))
    assert report["hbm_read_bytes"] / seconds(report) == pytest.approx(
        128 / parameter("hbm_access") * HBM_REACHED, rel=0.03
    )


def test_cores_that_read_the_same_rows_past_l2_hold_each_other_up():
    report = replay(trace(*[bursts(0, 64, 128, 1024, past_l2=True) for _ in range(2 * GROUPS)]))
    assert report["gm_read_bytes"] / seconds(report) == pytest.approx(
        128 / parameter("hbm_access_shared") * HBM_REACHED, rel=0.04
    )


def test_cores_that_read_the_same_lines_read_slower():
    reads = copies(1, MB)[0]
    alone = cycles(reads)

    def second(delay):
        wait = Record(Op.scalar, Pipe.S, int(delay / parameter("scalar_access")))
        return cycles(reads, [wait, *reads]) - delay

    assert second(800) / alone == pytest.approx(parameter("shared_read"), rel=0.02)
    assert second(80000) / alone == pytest.approx(1, rel=0.02)


def test_what_is_written_back_takes_longer_than_what_is_read():
    size = 256 * MB
    stores = [store(GM + at, 256 * KB) for at in range(0, size, 256 * KB)]
    usual, slow = replay(trace(stores)), replay(trace(stores), hbm_write=50)
    assert usual["cycles"] < slow["cycles"]
    assert usual["hbm_written_bytes"] == slow["hbm_written_bytes"]


def test_short_transfers_take_more_of_hbm():
    def rate(chunk):
        report = replay(trace(*copies(2 * GROUPS, 4 * MB, chunk=chunk)))
        return report["hbm_read_bytes"] / seconds(report)

    more, first = parameter("hbm_short"), parameter("hbm_short_bytes")
    size = 256 * KB
    assert rate(8 * KB) / rate(size) == pytest.approx((1 + more * first / size) / (1 + more), rel=0.02)


def test_bookkeeping_of_queues_delays_the_scalar_unit():
    plain = [set_flag(Pipe.V, 0), wait_flag(Pipe.V, 0), vector(1)]
    queued = [Record(r.op, r.pipe, event=0, site=3, manner=time_model.Manner.queued)
              for r in (set_flag(Pipe.V, 0), wait_flag(Pipe.V, 0))]  # fmt: skip
    assert cycles([*queued, vector(1)]) - cycles(plain) == 2 * parameter("queue_issue")


# Work and time.


@pytest.mark.parametrize(
    "records,kind",
    [
        ([mmad()], "cube"),
        ([vector(64)], "vector"),
        ([load(GM, 32 * KB)], "vector"),
        ([Record(Op.load_l0a, Pipe.MTE1, 32 * KB), Record(Op.load_l0b, Pipe.MTE1, 32 * KB)], "cube"),
    ],
)
def test_doubled_work_doubles_time(records, kind):
    one = cycles(records, kind=kind, repeat=1000)
    assert cycles(records, kind=kind, repeat=2000) == pytest.approx(2 * one, rel=2e-3)


def test_same_trace_same_time():
    made = trace(*copies(8, MB))
    assert time_model.replay(CHIP, made) == time_model.replay(CHIP, made)


def test_empty_trace():
    report = replay(trace([]))
    assert report["cycles"] == 0 and report["bound"] == ""


# Order within a core. The scalar unit needs `issue` cycles for each data instruction, 1 for a flag.

ISSUE = parameter("issue")


def test_pipes_overlap_without_flags():
    both = [load(GM, 64 * KB), vector(500)]
    assert cycles(both) == pytest.approx(max(cycles(both[:1]), cycles(both[1:])), abs=2 * ISSUE)


def test_flag_orders_two_pipes():
    chained = [load(GM, 64 * KB), set_flag(Pipe.MTE2, 5), wait_flag(Pipe.V, 5), vector(500)]
    alone = cycles(chained[:1]), cycles(chained[3:])
    assert cycles(chained) == pytest.approx(sum(alone), abs=2 * ISSUE)
    use = replay(trace(chained))["cores"][0]["pipes"]["V"]
    assert use["flag"] == pytest.approx(alone[0], abs=2 * ISSUE)


def test_flag_takes_its_latency():
    made = trace([vector(8), set_flag(Pipe.V, 0), wait_flag(Pipe.MTE3, 0), store(GM, 512)])
    assert replay(made, flag_latency=101)["cycles"] - replay(made, flag_latency=1)["cycles"] == 100


def test_double_buffering_hides_the_copy():
    def pipeline(buffers, steps=50):
        records, event = [], 0
        for step in range(steps):
            if step >= buffers:
                records.append(wait_flag(Pipe.MTE2, 1000 + step - buffers))
            records += [load(GM + step % 8 * 16 * KB, 16 * KB), set_flag(Pipe.MTE2, event), wait_flag(Pipe.V, event)]
            records += [vector(150), set_flag(Pipe.V, 1000 + step)]
            event += 1
        return cycles(records)

    copy, compute = 16 * KB / parameter("gm_to_ub") + parameter("gm_start"), 300
    assert pipeline(1) >= 50 * (copy + compute)
    assert pipeline(2) < 0.75 * pipeline(1)
    assert pipeline(4) == pytest.approx(50 * max(copy, compute), rel=0.06)


def test_back_to_back_vectors_pay_the_start_once():
    start, per_repeat = parameter("vector.add.start"), parameter("vector.add.float")
    assert cycles([vector(16)], repeat=100) == ISSUE + 100 * 16 * per_repeat + start


def test_barrier_exposes_the_start_each_time():
    start, per_repeat = parameter("vector.add.start"), parameter("vector.add.float")
    took = cycles([vector(16), barrier(Pipe.V)], repeat=100)
    assert took == pytest.approx(100 * (16 * per_repeat + start), abs=2 * ISSUE)
    report = replay(trace([vector(16), barrier(Pipe.V)], repeat=100))
    assert report["cores"][0]["pipes"]["V"]["barrier"] == pytest.approx(100 * start, rel=0.01)


def test_barrier_of_one_pipe_leaves_the_others_alone():
    both = [load(GM, 64 * KB), vector(16), barrier(Pipe.V)]
    assert cycles(both) == pytest.approx(cycles(both[:1]), abs=3 * ISSUE)


def test_barrier_all_stops_the_scalar_unit():
    first = cycles([load(GM, 64 * KB)])
    assert cycles([load(GM, 64 * KB), barrier_all(), vector(16)]) == pytest.approx(first + cycles([vector(16)]), abs=2)


def test_flag_to_the_scalar_unit_stops_it():
    first = cycles([load(GM, 64 * KB)])
    chained = [load(GM, 64 * KB), set_flag(Pipe.MTE2, 0), wait_flag(Pipe.S, 0), vector(16)]
    assert cycles(chained) == pytest.approx(first + cycles([vector(16)]), abs=4)


def test_full_queue_stops_the_scalar_unit():
    """100 long vector instructions fill the queue; the copy behind them is issued late."""
    records = [vector(200)] * 100 + [load(GM, 512)]
    spans = time_model.spans(CHIP, trace(records), 0)
    depth = int(parameter("queue_depth"))
    assert spans[-1][0] == pytest.approx(spans[100 - depth][0], abs=400 + 2 * ISSUE)
    assert time_model.spans(CHIP, trace(records[90:]), 0)[-1][0] < 20 * ISSUE


def test_scalar_access_delays_what_follows():
    access = Record(Op.scalar, Pipe.S, 1)
    assert cycles([access, vector(1)], repeat=1) - cycles([vector(1)]) == parameter("scalar_access")


# Order between cores.

LATENCY = parameter("cross_latency")


def test_cross_core_wait():
    producer = [load(GM, 64 * KB), cross_set(Pipe.MTE2, 0)]
    consumer = [cross_wait(0), vector(16)]
    first = cycles(producer, cross_events=1)
    report = replay(trace(producer, consumer, cross_events=1))
    assert report["cycles"] == pytest.approx(first + LATENCY + cycles([vector(16)]), abs=4)
    use = report["cores"][1]["pipes"]
    assert use["V"]["cross"] == pytest.approx(first + LATENCY, abs=4)
    assert use["S"]["cross"] == pytest.approx(first + LATENCY, abs=4)


def test_waiting_for_a_core_counts_once():
    """After the wait the vector pipe starves for another reason."""
    consumer = [cross_wait(0), vector(16), Record(Op.scalar, Pipe.S, 500), vector(16)]
    report = replay(trace([vector(16), cross_set(Pipe.V, 0)], consumer, cross_events=1))
    use = report["cores"][1]["pipes"]
    assert use["V"]["cross"] == pytest.approx(use["S"]["cross"], abs=2 * ISSUE)
    assert use["V"]["issue"] == pytest.approx(500 * parameter("scalar_access"), rel=0.02)


def test_cross_core_event_takes_the_last_of_its_sets():
    short, long = [vector(16), cross_set(Pipe.V, 0)], [vector(4000), cross_set(Pipe.V, 0)]
    waiter = [cross_wait(0), vector(16)]
    for cores in ([short, long, waiter], [waiter, long, short], [long, waiter, short]):
        report = replay(trace(*cores, cross_events=1))
        assert report["cycles"] == pytest.approx(4000 + LATENCY, rel=0.02)


def test_all_cores_meet():
    """Everybody sets, everybody waits, as SyncAll does."""
    cores = [[vector(16 * (i + 1)), cross_set(Pipe.V, 0), cross_wait(0), vector(16)] for i in range(8)]
    finish = [core["finish"] for core in replay(trace(*cores, cross_events=1))["cores"]]
    assert max(finish) - min(finish) < 1
    assert finish[0] == pytest.approx(128 + LATENCY + 16 + 2 * 24, abs=4 * ISSUE)


def test_ping_pong_between_cores():
    turns = 20
    ping, pong = [], []
    for turn in range(turns):
        ping += [vector(50), cross_set(Pipe.V, 2 * turn), cross_wait(2 * turn + 1)]
        pong += [cross_wait(2 * turn), vector(50), cross_set(Pipe.V, 2 * turn + 1)]
    one_way = 50 + 24 + LATENCY
    assert cycles(ping, pong, cross_events=2 * turns) == pytest.approx(2 * turns * one_way, rel=0.03)


def test_event_that_never_completes_is_an_error():
    with pytest.raises(ValueError, match=r"kernel.cpp:40 waits for 1 CrossCoreSetFlag that never run"):
        replay(trace([cross_wait(0), cross_set(Pipe.V, 1)], [cross_wait(1), cross_set(Pipe.V, 0)], cross_events=2))


def test_flag_waited_for_before_it_is_set_is_an_error():
    with pytest.raises(ValueError, match="flag instance 3"):
        replay(trace([wait_flag(Pipe.V, 3), set_flag(Pipe.MTE2, 3)]))


# Accounting.


def test_time_of_every_pipe_adds_up():
    records = [load(GM, 16 * KB), set_flag(Pipe.MTE2, 0), wait_flag(Pipe.V, 0), vector(64), barrier(Pipe.V), vector(8)]
    records += [set_flag(Pipe.V, 1), wait_flag(Pipe.MTE3, 1), store(GM + MB, 16 * KB), cross_set(Pipe.MTE3, 0)]
    records += [cross_wait(0), load(GM + 2 * MB, 16 * KB)]
    report = replay(trace(records, cross_events=1))
    for pipe, use in report["cores"][0]["pipes"].items():
        parts = [use[part] for part in ("busy", "bandwidth", "flag", "cross", "barrier", "issue")]
        latency = 600  # of the last result
        assert sum(parts) <= use["last"] + 1e-6 <= sum(parts) + latency, pipe


def test_totals():
    records = [load(GM, 1000), vector(10), store(GM + MB, 96), store(GM + MB, 32)]
    report = replay(trace(records, records))
    assert report["gm_read_bytes"] == 2000
    assert report["gm_written_bytes"] == 256
    assert report["hbm_read_bytes"] == 2 * 512  # the second core finds both lines in L2
    assert report["l2_lines"] == 4 and report["l2_missed"] == 2
    assert report["vector_elements"] == 2 * 640
    assert report["records"] == 8
    assert report["launch_us"] == 20


def test_hot_sites():
    report = replay(trace([mmad(), mmad(), load(GM, 4096, Op.gm_to_l1)], [mmad()], kind="cube"))
    first, second = report["hot"]
    assert (first["instruction"], first["file"], first["line"], first["pipe"]) == ("Mmad", "kernel.cpp", 20, "M")
    assert first["count"] == 3 and first["cycles"] == 3 * 533
    assert second["instruction"] == "Copy" and second["count"] == 1


def test_spans_cover_what_the_pipe_did():
    spans = time_model.spans(CHIP, trace([vector(16), vector(16), barrier(Pipe.V), vector(16)]), 0)
    assert spans[0] == (ISSUE, ISSUE + 16)
    assert spans[1] == (ISSUE + 16, ISSUE + 32)
    assert spans[2] == (ISSUE + 32, ISSUE + 32 + 24)
    assert spans[3][0] == spans[2][1]


def test_alternative_parameters_change_the_result():
    made = trace([load(GM, MB)])
    assert replay(made, gm_to_ub=110)["cycles"] < 0.6 * replay(made)["cycles"]
    assert replay(trace([vector(1000)]), vector__add__float=2)["cycles"] > 1.9 * cycles([vector(1000)])


def test_faster_clock_shortens_what_the_cores_do():
    made = trace([mmad()], kind="cube", repeat=1000)
    slow, fast = replay(made, "Ascend910B4"), replay(made, "Ascend910B1")
    assert slow["cycles"] == fast["cycles"]
    assert slow["us"] / fast["us"] == pytest.approx(1850 / 1500)
