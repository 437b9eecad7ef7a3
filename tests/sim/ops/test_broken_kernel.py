"""A kernel with a mistake, called through torch_npu: the exception is the simulator's report, and nothing is stuck."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from npufa import sim
from npufa.sim._native import LIBRARY_DIR

pytestmark = pytest.mark.simulator
OP_KERNEL = Path(__file__).resolve().parents[3] / "op_kernel"
KERNEL = "npufa_prompt_flash_attention"
TIMEOUT = 60
WAIT = "AscendC::CrossCoreWaitFlag(FLAG_SCORES);"

CALLS = """
import ctypes, sys
import npufa.sim, torch
from sim.ops.prefill import prefill

npufa.sim.enable()
prefill().verify()
skip_wait = ctypes.c_int.in_dll(ctypes.CDLL(sys.argv[1]), "skip_wait")
skip_wait.value = 1
for attempt in range(2):
    try:
        prefill().call()
        print("no error")
    except RuntimeError as error:
        print(error)
skip_wait.value = 0
prefill().verify()
torch.npu.synchronize()
print("works again")
"""


@pytest.fixture
def library_dir(tmp_path):
    """The package's libraries, with a kernel that can leave out the wait for the scores."""
    sources = tmp_path / "op_kernel"
    shutil.copytree(OP_KERNEL, sources)
    header = sources / "attention" / "forward" / "forward_vector.h"
    text = header.read_text()
    assert text.count(WAIT) == 1
    switch = 'extern "C" {\ninline int skip_wait = 0;\n}\nnamespace npufa {'
    header.write_text(text.replace("namespace npufa {", switch, 1).replace(WAIT, f"if (!skip_wait) {WAIT}"))
    compiled = sim.compile_kernel(sources / f"{KERNEL}.cpp", include=[sources], directory=tmp_path, optimise=False)

    root = tmp_path / "lib"
    shutil.copytree(LIBRARY_DIR, root, ignore=shutil.ignore_patterns("include"))
    shutil.copy(compiled.cube, root / "sim" / "kernels" / f"{KERNEL}.aic.so")
    shutil.copy(compiled.vector, root / "sim" / "kernels" / f"{KERNEL}.aiv.so")
    return root


def test_report_reaches_python(library_dir):
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{CALLS}"
    vector = library_dir / "sim" / "kernels" / f"{KERNEL}.aiv.so"
    done = subprocess.run([sys.executable, "-c", code, vector], capture_output=True, text=True, timeout=TIMEOUT,
                          env=os.environ | {"NPUFA_LIBRARY_DIR": str(library_dir)})  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("works again")
    assert "no error" not in done.stdout
    reports = done.stdout.split("npufa::npu_prompt_flash_attention: ")[1:]
    assert len(reports) == 2
    parts = ("[race] ", "tiles/tile_copy.h:", "DataCopyPad src in GM", " of workspace ", "[flag-left-set] ",
              "forward_cube.h:")  # fmt: skip
    for report in reports:  # how many races there are depends on the order of the cores
        assert all(part in report for part in parts), report
