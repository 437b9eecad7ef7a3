"""pytest plugin: the operators' tests on the NPU, for `./build.sh test --device npu`.

`pytest -p cases.all_on_npu tests/ops` runs every Case of the CPU's suite there. The NPU is a real chip where CANN is
installed and the simulated one elsewhere; what only the simulated one can show (marker `simulator`) is skipped on both.
"""

import warnings

import pytest
import torch

from .device import SOC
from .model import Case
from .on_npu import call_on_npu

# Files of tests/ops that make their calls with Case.
FILES = ("corners", "dropout", "fused_infer", "fusion_forward", "fusion_grad", "incre", "prompt", "quantisation")
# These compare with a call of their own on the CPU, or are about its threads.
ABOUT_THE_CPU = ("positional_arguments", "older_spelling", "huge_strides", "threads_at_once", "thread_counts")


def _enable():
    """Says what the NPU is."""
    import npufa.sim

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a CANN that stays in use is what is wanted here
        npufa.sim.enable(SOC)
    status = npufa.sim.status()
    if status.soc is not None:
        return f"simulated {status.soc}, no chip"
    import torch_npu  # noqa: F401

    if not torch.npu.is_available():
        raise pytest.UsageError("no NPU that can be used; python -m npufa doctor --require npu says why")
    return f"real {torch.npu.get_device_name()}, CANN in {status.cann}"


def pytest_configure(config):
    config.npu = _enable()
    Case.call = call_on_npu


def pytest_sessionstart(session):
    session.config.pluginmanager.get_plugin("terminalreporter").write_line(f"NPU: {session.config.npu}")


def pytest_ignore_collect(collection_path):
    about_the_cpu = collection_path.parent.name == "ops" and collection_path.parent.parent.name == "tests"
    if about_the_cpu and collection_path.name not in [f"test_{name}.py" for name in FILES]:
        return True
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("simulator"):
            item.add_marker(pytest.mark.skip(reason="only the simulator can show it"))
        elif any(name in item.name for name in ABOUT_THE_CPU):
            item.add_marker(pytest.mark.skip(reason="about the CPU"))
