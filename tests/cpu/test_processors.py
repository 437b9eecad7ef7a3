"""Processors of aarch64 as qemu has them: each chooses the best table of primitives that it can run, and is right."""

import os
import pathlib
import subprocess

import pytest

from cpu.primitives_support import MODULES

SYSROOT = os.environ.get("NPUFA_SYSROOT", "")  # of a cross build, see scripts/cross.py


@pytest.mark.skipif(not SYSROOT, reason="only of a cross build: ./build.sh matrix --arch aarch64")
@pytest.mark.parametrize("processor, table", [
    ("cortex-a72", "generic"), ("neoverse-n1", "neon_dot"), ("max", "neon_bf16")])
def test_the_best_table_is_chosen(processor, table):
    """tests/cpp/attention_check.cpp compares with float64, forward, backward and int8 caches."""
    program = pathlib.Path(MODULES) / "npufa_attention_check"
    done = subprocess.run(["qemu-aarch64-static", "-cpu", processor, "-L", SYSROOT, program], capture_output=True,
                          text=True)
    assert (done.returncode, done.stdout) == (0, f"{table}: clean\n"), done.stderr
