"""npufa.sim.enable, the command line, and `import torch` beside an installed torch_npu."""

import json
import os
import subprocess
import sys

import pytest

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TORCH_DEVICE_BACKEND_AUTOLOAD"}


def python(*arguments, **environment):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=ENVIRONMENT | environment)


def run(code, **environment):
    done = python("-c", code, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_plain_imports_work_beside_torch_npu():
    # The first needs npufa_autoload.pth in the environment, the second does not.
    for code in ("import torch; print(hasattr(torch, 'npu'))", "import npufa, torch; print(hasattr(torch, 'npu'))"):
        assert run(code) == "False\n"


def test_autoload_is_left_alone_where_it_works(tmp_path):
    probe = "import npufa._autoload as a; print(a.cann_library(), a.torch_npu_would_fail())"
    assert run(probe, TORCH_DEVICE_BACKEND_AUTOLOAD="0") == "None False\n"
    (tmp_path / "libascendcl.so").touch()
    code = ("import importlib.util as u, os; s = u.spec_from_file_location('a', u.find_spec('npufa')."
            "submodule_search_locations[0] + '/_autoload.py'); a = u.module_from_spec(s); s.loader.exec_module(a); "
            "print(a.cann_library(), os.environ.get(a.SWITCH))")
    assert run(code, LD_LIBRARY_PATH=str(tmp_path)) == f"{tmp_path}/libascendcl.so None\n"


def test_enabling():
    found = run("""
import importlib.metadata, sys, types, npufa.sim, pytest
assert npufa.sim.status().soc is None
version = importlib.metadata.version
def missing(name): raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = missing
with pytest.raises(ImportError, match=r"not installed: pip install npufa\\[npu\\]"):
    npufa.sim.enable()
importlib.metadata.version = lambda name: "2.0.1.post3"
with pytest.raises(ImportError, match=r"needs torch_npu 2\\.\\d+ beside torch 2.*, "
                                      "found 2.0.1.post3: pip install --no-deps "):
    npufa.sim.enable()
importlib.metadata.version = version
sys.modules["torch_npu"] = types.ModuleType("torch_npu")
with pytest.raises(RuntimeError, match="torch_npu is loaded already"):
    npufa.sim.enable()
del sys.modules["torch_npu"]
with pytest.raises(ValueError, match="soc is unknown, got 'Ascend310P'; expected one of Ascend910B1, "):
    npufa.sim.enable("Ascend310P")

npufa.sim.enable("Ascend910B1")
npufa.sim.enable("Ascend910B1", check=False)
status = npufa.sim.status()
assert (status.soc, status.check, status.torch_npu, status.cann) == ("Ascend910B1", False, version("torch_npu"), None)
with pytest.raises(RuntimeError, match="soc cannot change within a process, got 'Ascend910B3' after 'Ascend910B1'"):
    npufa.sim.enable()
import torch
assert torch.npu.get_device_properties(0).cube_core_num == 24
""")
    assert found == ""  # nothing about ASCEND_HOME_PATH


def test_stands_aside_for_a_real_cann(tmp_path):
    (tmp_path / "libascendcl.so").touch()
    run("""
import os, sys
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
import npufa.sim, pytest, torch
with pytest.warns(UserWarning, match="CANN found .*/libascendcl.so.*, the real NPU stays in use; force=True simulates"):
    npufa.sim.enable()
assert npufa.sim.status().soc is None and "torch_npu" not in sys.modules
npufa.sim.enable(force=True)
assert torch.ones(2, device="npu").sum().item() == 2
""", LD_LIBRARY_PATH=str(tmp_path))  # fmt: skip


SCRIPT = """
import sys
import torch
import helper
print(sys.argv[1:], helper.ANSWER, torch.npu.get_device_name(), torch.randn(2, device="npu").device, __name__)
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "helper.py").write_text("ANSWER = 42\n")
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_run_a_script_without_changes(script):
    done = python("-m", "npufa.sim", "run", "--soc", "Ascend910_9391", str(script), "a", "--soc", "b")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['a', '--soc', 'b'] 42 Ascend910_9391 npu:0 __main__\n"


def test_run_a_script_that_fails(script):
    script.write_text("raise SystemExit(3)")
    assert python("-m", "npufa.sim", "run", str(script)).returncode == 3
    done = python("-m", "npufa.sim", "run", str(script.with_name("missing.py")))
    assert done.returncode == 1 and "missing.py is not a file" in done.stderr


PREFILL = """
import sys, npufa, torch
q, k, v = torch.randn(3, 1, 2, 64, 64, dtype=torch.float16, device="npu").unbind()
npufa.npu_prompt_flash_attention(q, k, v, num_heads=2, input_layout="BNSD")
sys.exit(4)
"""


def test_trace_of_a_script(script, tmp_path):
    script.write_text(PREFILL)
    done = python("-m", "npufa.sim", "run", "--trace", str(tmp_path / "trace.json"), str(script))
    assert done.returncode == 4, done.stderr
    assert "npufa_prompt_flash_attention" in done.stdout
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_list_of_chips():
    done = python("-m", "npufa.sim", "chips")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["Ascend910B3", "20", "40", "1800", "64", "192"] in rows and len(rows) == 11


CHILDREN = """
import multiprocessing, subprocess, sys, torch

def work(queue):
    import torch_npu
    queue.put((torch.npu.get_device_name(0), str(torch_npu.npu_fusion_attention)))

if __name__ == "__main__":
    for method in "spawn", "forkserver":
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=work, args=(queue,))
        process.start()
        print(method, *queue.get())
        process.join()
    grandchild = "import torch_npu as t, flash_attn as f; print(t.npu.get_device_name(0), f.flash_attn_func.__module__)"
    subprocess.run([sys.executable, "-c", grandchild], check=True)
    import torch_npu
    print(torch.npu.get_device_name(0), torch_npu.npu_fusion_attention)
"""
REACHED = """spawn Ascend910B1 npufa.npu_fusion_attention
forkserver Ascend910B1 npufa.npu_fusion_attention
Ascend910B1 npufa.flash_attn.interface
Ascend910B1 npufa.npu_fusion_attention
"""


@pytest.mark.slow(group="programs")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["npufa.sim", "npufa", "environment"])
def test_children_simulate(tmp_path, how):
    (script := tmp_path / "script.py").write_text(CHILDREN)
    command = [] if how == "environment" else ["-m", how, "run", "--children", "--soc", "Ascend910B1"]
    environment = {"NPUFA_SIM": "Ascend910B1"} if how == "environment" else {}
    done = python(*command, str(script), **environment)
    assert (done.returncode, done.stdout) == (0, REACHED), done.stderr


def test_environment_names_the_chip():
    script = "import {}, torch, subprocess, sys; print(torch.npu.get_device_name(0)); {}"
    found = "from npufa import sim; print(torch_npu.npu_fusion_attention, sim.status().check)"
    child = script.format("torch_npu", found)
    code = script.format("npufa", f"sys.stdout.flush(); subprocess.run([sys.executable, '-c', {child!r}], check=True)")
    printed = run(code, NPUFA_SIM="Ascend910B4", NPUFA_SIM_CHECK="0")
    assert printed == "Ascend910B4\nAscend910B4\nnpufa.npu_fusion_attention False\n"
    done = python("-c", "import torch", NPUFA_SIM="Ascend910B9")
    assert "soc is unknown, got 'Ascend910B9'; expected one of Ascend910B1" in done.stderr
    assert run("import sys; print('torch' in sys.modules)", NPUFA_SIM="Ascend910B3") == "False\n"


def test_children_cannot_be_forced():
    done = python("-m", "npufa.sim", "run", "--children", "--force", "script.py")
    assert done.returncode == 2 and "--children: a host with a CANN cannot be simulated" in done.stderr


DEVICES = """
import torch
torch.zeros(1).npu()
torch.npu.set_device(1)
kept = torch.zeros(2**20).npu()
free = [torch.npu.mem_get_info(device)[0] for device in (0, 1)]
print(torch.npu.device_count(), free[0] > free[1], kept.to("npu:0").device)
"""


@pytest.mark.parametrize("how", ["npufa.sim", "npufa", "environment"])
def test_several_devices(tmp_path, how):
    (script := tmp_path / "script.py").write_text(DEVICES)
    environment = {"NPUFA_SIM": "Ascend910B3", "NPUFA_SIM_DEVICES": "3"} if how == "environment" else {}
    command = [] if how == "environment" else ["-m", how, "run", "--devices", "3"]
    done = python(*command, str(script), **environment)
    assert (done.returncode, done.stdout) == (0, "3 True npu:0\n"), done.stderr


def test_visible_devices():
    code = "from npufa import sim; sim.enable(devices=4); import torch; print(torch.npu.device_count())"
    assert run(code, ASCEND_RT_VISIBLE_DEVICES="2,3") == "2\n"
    assert run(code, ASCEND_RT_VISIBLE_DEVICES="0,9") == "1\n"


@pytest.mark.parametrize("devices", [0, 17, "2"])
def test_illegal_number_of_devices(devices):
    done = python("-c", f"from npufa import sim; sim.enable(devices={devices!r})")
    assert f"npufa.sim.enable: devices is not a number of chips of a host, got {devices!r}; expected " in done.stderr
