"""Profiles of synthetic traces."""

import ctypes

import npufa_test_time as time_model

from npufa.sim import _native, profiling
from sim.chip.traces import (
    CHIP,
    GM,
    Op,
    Pipe,
    Record,
    cross_set,
    cross_wait,
    load,
    mmad,
    set_flag,
    trace,
    vector,
    wait_flag,
)

KB = 1 << 10


def use_test_module(monkeypatch):
    """The profiler of the test module in place of libnpufa_sim.so."""
    module = ctypes.CDLL(time_model.__file__)
    for name, (result, arguments) in _native._FUNCTIONS.items():
        if "profile" in name:
            function = getattr(module, name)
            function.restype, function.argtypes = result, arguments
    monkeypatch.setattr(profiling, "native", lambda: module)
    return module


def attention_like(steps=6):
    """A cube core and two vector cores that hand tiles to each other through memory."""
    cube, vectors = [], [[], []]
    for step in range(steps):
        cube += [load(GM + step * 64 * KB, 32 * KB, Op.gm_to_l1), set_flag(Pipe.MTE2, step), wait_flag(Pipe.M, step)]
        cube += [mmad(), set_flag(Pipe.M, 100 + step), wait_flag(Pipe.FIX, 100 + step)]
        cube += [Record(Op.l0c_to_gm, Pipe.FIX, 64 * KB, 1, 64 * KB, 0, GM + (1 << 30)), cross_set(Pipe.FIX, step)]
        for records in vectors:
            records += [cross_wait(step), load(GM + (1 << 30), 32 * KB), set_flag(Pipe.MTE2, step)]
            records += [wait_flag(Pipe.V, step), vector(128), vector(128, Op.vec_exp)]
    return trace(("cube", cube), ("vector", vectors[0]), ("vector", vectors[1]), cross_events=steps, name="attention")


def launch(*traces):
    for made in traces:
        time_model.keep(CHIP, made)
    return len(traces)
