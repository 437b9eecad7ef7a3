"""Synthetic traces for the time model: what a kernel's cores would have done."""

import json

import npufa_test_time as time_model

Op, Pipe, Record = time_model.Op, time_model.Pipe, time_model.Record
CHIP = "Ascend910B3"
GM = 1 << 40  # a 512-byte aligned address
GROUPS = 20
SITES = [("Copy", "kernel.cpp", 10), ("Mmad", "kernel.cpp", 20), ("Add", "kernel.cpp", 30), ("Flag", "kernel.cpp", 40)]


def parameter(name, chip=CHIP):
    return time_model.parameter(chip, name)


def clock_hz(chip=CHIP):
    return time_model.facts(chip)["clock_mhz"] * 1e6


def trace(*cores, kind="vector", repeat=1, cross_events=0, name="kernel"):
    """One core per list of records; `kind` for all, or (kind, records) each."""
    made = time_model.Trace(name, cross_events)
    seen = {"cube": 0, "vector": 0}
    for core in cores:
        core_kind, records = core if isinstance(core, tuple) else (kind, core)
        group, index = divmod(seen[core_kind], 2) if core_kind == "vector" else (seen[core_kind], 0)
        seen[core_kind] += 1
        made.add_core(getattr(time_model.CoreKind, core_kind), group, index, records, repeat, SITES)
    return made


def replay(made, chip=CHIP, **parameters):
    return json.loads(time_model.replay(chip, made, {k.replace("__", "."): v for k, v in parameters.items()}))


def cycles(*cores, **kwargs):
    return replay(trace(*cores, **kwargs))["cycles"]


def load(address, size, op=Op.gm_to_ub, pipe=Pipe.MTE2):
    return Record(op, pipe, size, 1, size, gm_address=address, site=0)


def store(address, size, op=Op.ub_to_gm, pipe=Pipe.MTE3):
    return load(address, size, op, pipe)


def mmad(m=128, n=128, k=128, dtype=time_model.MmadType.half):
    return Record(Op.mmad, Pipe.M, m, n, k, dtype=int(dtype), site=1)


def vector(repeats, op=Op.vec_add, element_bytes=4):
    return Record(op, Pipe.V, repeats, repeats * 256 // element_bytes, element_bytes, site=2)


def set_flag(pipe, event):
    return Record(Op.set_flag, pipe, event=event, site=3)


def wait_flag(pipe, event):
    return Record(Op.wait_flag, pipe, event=event, site=3)


def barrier(pipe):
    return Record(Op.barrier, pipe, site=3)


def barrier_all():
    return Record(Op.barrier, Pipe.S, 1, site=3)


def cross_set(pipe, event):
    return Record(Op.cross_set, pipe, event=event, site=3)


def cross_wait(event):
    return Record(Op.cross_wait, Pipe.S, event=event, site=3)
