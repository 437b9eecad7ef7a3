"""python -m npufa doctor on machines made of temporary folders."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import npufa
from npufa import _doctor_command
from npufa.doctor import Host, cann, diagnose, machine, package, probing, simulator
from npufa.doctor.probing import Step
from npufa.doctor.report import MISSING, OK, WRONG, Finding, Report, Target

OPERATORS = sorted(package.expected_operators())
VERSION = package.expected_version()


def python_path(folder):
    """PYTHONPATH with a folder before what is on it."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


class Machine:
    """A folder that becomes an Atlas host piece by piece."""

    def __init__(self, root: Path):
        self.root = root
        self.environment = {"PATH": os.environ["PATH"]}
        self.home = root / "cann"
        self.opp = self.home / "opp"

    def write(self, path, text=""):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def card(self, count=2):
        for name in [*(f"davinci{i}" for i in range(count)), *cann.SHARED_NODES]:
            self.write(f"dev/{name}")
        self.write("usr/local/Ascend/driver/version.info", "Version=25.0.rc1\nascendhal_version=7.35\n")

    def toolkit(self):
        self.write(f"cann/{platform.machine()}-linux/ascend_toolkit_install.info", "package_name=a\nversion=8.5.0\n")
        for name in (cann.LIBRARY, cann.HCCL):
            self.write(f"cann/lib64/{name}")
        self.opp.mkdir()
        self.environment |= {"ASCEND_HOME_PATH": str(self.home), "ASCEND_OPP_PATH": str(self.opp),
                             "LD_LIBRARY_PATH": str(self.home / "lib64")}  # fmt: skip

    def package(self, folder, version=VERSION, operators=OPERATORS, socs=("ascend910b",)):
        names = b"".join(f"\0aclnn{name}\0aclnn{name}GetWorkspaceSize\0".encode() for name in operators)
        text = b"" if version is None else f"\0npufa operator package {version}\0".encode()
        library = self.write(f"{folder}/op_api/lib/libcust_opapi.so", b"\x7fELF" + names + text)
        for soc in socs:
            (self.root / folder / "op_impl/ai_core/tbe/kernel" / soc).mkdir(parents=True)
        (self.root / folder / "op_impl/ai_core/tbe/kernel/config").mkdir(parents=True)
        return library

    def vendors(self, *names):
        self.write("cann/opp/vendors/config.ini", f"load_priority={','.join(names)}\n")

    def torch_npu(self, body):
        """A torch_npu that stands before the installed one."""
        self.write("site/torch_npu/__init__.py", body)
        self.write("site/torch_npu-2.13.0.dist-info/METADATA", "Name: torch-npu\nVersion: 2.13.0\n")
        self.environment["PYTHONPATH"] = python_path(self.root / "site")

    def host(self):
        return Host(self.root, self.environment)


@pytest.fixture
def atlas(tmp_path):
    atlas = Machine(tmp_path)
    atlas.write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Kunpeng\nflags\t\t: fpu avx2 fma\n")
    return atlas


TWO_CARDS = """
__version__ = "2.13.0"
import types, torch
torch.npu = types.SimpleNamespace(device_count=lambda: 2, get_device_name=lambda i: "Ascend910B3")
"""


def state_of(findings):
    return {finding.name: finding.state for finding in findings}


def one(findings, name):
    [finding] = [finding for finding in findings if finding.name == name]
    return finding


def test_a_complete_host(atlas):
    atlas.card()
    atlas.toolkit()
    atlas.package("cann/opp/vendors/npufa")
    atlas.vendors("npufa")
    atlas.torch_npu(TWO_CARDS)
    report = diagnose(atlas.host())
    assert {finding.state for finding in report.findings} == {OK}, report.as_text()
    assert all(target.works for target in report.targets)
    assert one(report.findings, "NPU").value == "davinci0, davinci1"
    assert one(report.findings, "driver").value == "25.0.rc1 in /usr/local/Ascend/driver"
    assert one(report.findings, "toolkit").value == f"8.5.0 in {atlas.home}"
    assert one(report.findings, "torch_npu on CANN").value == "2 x Ascend910B3"
    notes = {target.name: target.note for target in report.targets}
    assert "force=True" in notes["sim"] and "GE compiles" in notes["graph"] and "on the NPU" in notes["aclgraph"]


def test_torch_npu_that_does_not_fit_cann(atlas):
    atlas.card()
    atlas.toolkit()
    atlas.package("cann/opp/vendors/npufa")
    atlas.vendors("npufa")
    atlas.torch_npu("raise ImportError('libhccl.so: undefined symbol\\nmore')")
    report = diagnose(atlas.host())
    found = one(report.findings, "torch_npu on CANN")
    assert (found.state, found.value) == (WRONG, "ImportError: libhccl.so: undefined symbol")
    assert report.works("cpu") and report.works("sim") and not report.works("npu")


def test_nothing_of_an_npu(atlas):
    states = state_of(cann.findings(atlas.host()))
    assert states == dict.fromkeys(("NPU", "driver", "toolkit", "libraries", "HCCL", "operators"), MISSING)


def test_container_without_shared_nodes(atlas):
    atlas.card()
    atlas.root.joinpath("dev/devmm_svm").unlink()
    found = cann.device_nodes(atlas.host())
    assert found.state == WRONG and found.advice == "Start the container with --device=/dev/devmm_svm."


def test_nodes_of_another_group(atlas, monkeypatch):
    atlas.card()
    monkeypatch.setattr(cann.os, "access", lambda path, mode: False)
    assert "HwHiAiUser" in cann.device_nodes(atlas.host()).advice


def test_driver_elsewhere(atlas):
    atlas.write("etc/ascend_install.info", "UserName=HwHiAiUser\nDriver_Install_Path_Param=/opt/Ascend\n")
    atlas.write("opt/Ascend/driver/version.info", "Version=24.1.0\n")
    assert cann.driver(atlas.host()).value == "24.1.0 in /opt/Ascend/driver"


def test_set_env_was_not_sourced(atlas):
    atlas.toolkit()
    del atlas.environment["LD_LIBRARY_PATH"]
    found = cann.library(atlas.host())
    assert found.state == WRONG and f"source {atlas.home}/set_env.sh" in found.advice
    atlas.write("etc/ld.so.cache", b"\0libascendcl.so\0")
    assert cann.library(atlas.host()).state == OK


def test_variables_that_name_nothing(atlas):
    atlas.environment |= {"ASCEND_HOME_PATH": "/gone", "ASCEND_OPP_PATH": "/gone/opp"}
    assert state_of([cann.toolkit(atlas.host()), cann.operators_path(atlas.host())]) == dict.fromkeys(
        ("toolkit", "operators"), WRONG)  # fmt: skip


@pytest.mark.parametrize("name, text", [
    ("version.info", 'Version=8.1.RC1\n'), ("compiler/version.info", "Version = 8.3.0\n"),
    ("runtime/version.info", '"version": "8.2.0"'),
])  # fmt: skip
def test_toolkit_version_of_other_releases(atlas, name, text):
    atlas.write(f"cann/{name}", text)
    assert cann.toolkit_version(atlas.home) in ("8.1.RC1", "8.3.0", "8.2.0")


def test_package_precedence(atlas):
    atlas.toolkit()
    atlas.package("own/vendors/npufa", socs=("ascend910_93", "ascend910b"))
    atlas.package("cann/opp/vendors/npufa")
    atlas.vendors("other", "npufa")
    atlas.environment["ASCEND_CUSTOM_OPP_PATH"] = f":{atlas.root}/own/vendors/npufa:"
    found = package.findings(atlas.host())
    assert one(found, "package").value == (
        f"{VERSION} in {atlas.root}/own/vendors/npufa (ASCEND_CUSTOM_OPP_PATH)"
    )
    assert one(found, "chips").value == "ascend910_93, ascend910b"
    assert one(found, "shadowed").value == f"{VERSION} in {atlas.opp}/vendors/npufa"


@pytest.mark.parametrize("settings, expected", [
    ({"version": "0.0.1"}, f"is of version 0.0.1, npufa is made for {VERSION}"),
    ({"version": None}, "is of version unknown"),
    ({"operators": OPERATORS[1:]}, f"lacks {OPERATORS[0]}"),
    ({"socs": ()}, "has no compiled kernels"),
])  # fmt: skip
def test_package_that_does_not_fit(atlas, settings, expected):
    atlas.toolkit()
    atlas.package("cann/opp/vendors/npufa", **settings)
    atlas.vendors("npufa")
    found = one(package.findings(atlas.host()), "package")
    assert found.state == WRONG and expected in found.value and found.advice


def test_package_of_another_user(atlas):
    atlas.toolkit()
    library = atlas.package("cann/opp/vendors/npufa")
    atlas.vendors("npufa")
    host = atlas.host()
    assert one(package.findings(host), "package").state == OK
    owner = library.stat().st_uid
    [found] = package.packages(Host(host.root, host.environment, user=owner + 1))
    assert found.owned == (owner == 0)


def test_package_that_nobody_asks(atlas):
    atlas.toolkit()
    atlas.package("own/vendors/npufa")
    atlas.environment["ASCEND_CUSTOM_OPP_PATH"] = str(atlas.root / "own")
    [found] = package.findings(atlas.host())
    assert found.state == WRONG and found.advice.endswith("own/vendors/npufa/bin/set_env.bash")
    del atlas.environment["ASCEND_CUSTOM_OPP_PATH"]
    atlas.package("cann/opp/vendors/npufa")
    atlas.vendors("other")
    [found] = package.findings(atlas.host())
    assert found.state == WRONG and "Add npufa to load_priority" in found.advice


def test_package_of_somebody_else_is_no_package(atlas):
    atlas.toolkit()
    atlas.write("cann/opp/vendors/other/op_api/lib/libcust_opapi.so", b"\0aclnnOtherGetWorkspaceSize\0")
    atlas.vendors("other")
    [found] = package.findings(atlas.host())
    assert found.state == MISSING and str(atlas.opp / "vendors/other") in found.value


def test_the_built_package_is_recognised():
    """The text and names that are looked for are those of a compiled library: the simulator's."""
    found = package.package(Host(), package.BUILT / "sim", "")
    assert found.version == VERSION and VERSION.startswith(f"{npufa.__version__}-")
    assert found.operators == package.expected_operators() and OPERATORS


def test_other_names_in_a_library_of_cann_are_no_operators(atlas):
    """Those of the second entry points, and of what the compiler keeps for variables within functions."""
    library = atlas.package("own/vendors/npufa")
    other = b"\0".join(f"aclnn{name}TensorGetWorkspaceSize\0_ZZ39aclnn{name}GetWorkspaceSizeE30aclnnContiguous"
                       "GetWorkspaceSize\0_ZZ39aclnnNpufaXGetWorkspaceSizeE5aclnnNpufaYGetWorkspaceSize".encode()
                       for name in OPERATORS)  # fmt: skip
    library.write_bytes(library.read_bytes() + b"\0" + other + b"\0")
    found = package.package(Host(), library.parents[2], "")
    assert found.operators == package.expected_operators()


def test_card_that_the_package_has_no_kernels_for():
    for devices, chips, state in (
        (["Ascend910_9391"], ("ascend910b",), WRONG),
        (["Ascend910_9391"], ("ascend910_93", "ascend910b"), OK),
        (["Ascend910B4"], ("ascend910b",), OK),
        (["Ascend910B4"], (), OK),
        ([], ("ascend910b",), MISSING),
    ):
        assert cann.torch_npu(Step({"devices": devices}, ""), chips).state == state


def test_processor_without_avx2(atlas, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    atlas.write("proc/cpuinfo", "model name\t: Old\nflags\t\t: fpu sse2\n")
    assert simulator.libraries(atlas.host(), Step({"chips": []}, "")).state == WRONG


@pytest.mark.parametrize("version, state", [(None, MISSING), ("2.12.0", WRONG), ("2.13.1+cpu", OK),
                                           ("2.13.0.post4", OK)])
def test_pins(monkeypatch, version, state):
    monkeypatch.setattr(machine, "version_of", lambda name: version)
    monkeypatch.setattr(machine, "has_module", lambda name: version is not None)
    found = machine.torch_npu()
    assert found.state == state and bool(found.advice) == (state != OK)
    assert machine.torch(Step({}, "OSError: libc10.so")).state == (state if state != OK else WRONG)


def test_what_torchair_needs(monkeypatch):
    assert state_of(machine.torchair()) == {"torchair": OK, "protobuf": OK, "packaging": OK}
    monkeypatch.setattr(machine, "version_of", lambda name: None)
    monkeypatch.setattr(machine, "folder_of", lambda name: None)
    assert state_of(machine.torchair()) == {"torchair": MISSING, "protobuf": MISSING, "packaging": MISSING}


def test_torch_that_imports_torch_npu_without_cann(monkeypatch):
    monkeypatch.delenv("TORCH_DEVICE_BACKEND_AUTOLOAD", raising=False)
    monkeypatch.setattr(machine._autoload, "cann_library", lambda: None)
    [found] = machine.autoload()
    assert found.state == WRONG and "TORCH_DEVICE_BACKEND_AUTOLOAD=0" in found.advice
    monkeypatch.setenv("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
    assert machine.autoload() == []


@pytest.mark.parametrize("body, expected", [
    ("import os; os.abort()", "the process was ended by SIGABRT"),
    ("import os; os._exit(3)", "the process ended with status 3"),
    ("raise SystemExit(5)", "SystemExit: 5"),
    ("raise ImportError('\\n\\nlibc10.so is broken\\nbacktrace')", "ImportError: libc10.so is broken"),
])  # fmt: skip
def test_broken_torch(atlas, body, expected):
    atlas.write("site/torch/__init__.py", body)
    atlas.environment["PYTHONPATH"] = str(atlas.root / "site")
    assert probing.probe(atlas.host(), ["torch"])["torch"].error == expected


def test_torch_that_hangs(atlas, monkeypatch):
    atlas.write("site/torch/__init__.py", "import time; time.sleep(60)")
    atlas.environment["PYTHONPATH"] = str(atlas.root / "site")
    monkeypatch.setattr(probing, "TIMEOUT", 1)
    assert probing.probe(atlas.host(), ["torch"])["torch"].error == "no answer within 1 s"


def doctor(*arguments, **variables):
    return subprocess.run([sys.executable, "-m", "npufa", "doctor", *arguments], env=os.environ | variables,
                          capture_output=True, text=True)


def test_command_line_here():
    done = doctor("--json", "--require", "npu")
    report = json.loads(done.stdout)
    works = {target["name"]: target["works"] for target in report["targets"]}
    assert works == {"cpu": True, "npu": False, "sim": True, "graph": True, "aclgraph": True}
    assert done.returncode == 1 and done.stderr == "npufa doctor: does not work here: npu\n"


def test_command_line_with_a_broken_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libc10.so: cannot open shared object file')\n")
    done = doctor(PYTHONPATH=python_path(tmp_path))
    assert done.returncode == 1 and not done.stderr.startswith("Traceback")
    assert "wrong: 2.13.0" in done.stdout and "libc10.so: cannot open" in done.stdout
    assert "CPU tensors" in done.stdout and "no: torch: " in done.stdout


def test_command_line_without_torch(tmp_path):
    """A Python that has npufa and nothing else."""
    ignored = shutil.ignore_patterns("lib", "__pycache__")
    shutil.copytree(Path(npufa.__file__).parent, tmp_path / "npufa", ignore=ignored)
    done = subprocess.run([sys.executable, "-S", "-m", "npufa", "doctor", "--require", "sim"], cwd=tmp_path,
                          env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "torch                   missing: not installed" in done.stdout
    assert done.stderr == "npufa doctor: does not work here: cpu, sim\n"


def test_usage_error_does_not_import_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise AssertionError\n")
    done = doctor("--require", "coffee", PYTHONPATH=python_path(tmp_path))
    assert done.returncode == 2 and "invalid choice: 'coffee'" in done.stderr


@pytest.mark.parametrize("argv, command_line, expected", [
    (["-m", "doctor", "--json"], ["python", "-m", "npufa", "doctor", "--json"], ["--json"]),
    (["-m", "doctor"], ["python", "-X", "dev", "-mnpufa", "doctor"], []),
    (["-m", "info"], ["python", "-m", "npufa", "info"], None),
    (["-m", "doctor"], ["python", "-m", "npufa.sim", "doctor"], None),
    (["-m", "doctor"], ["python", "-m", "other", "doctor"], None),
    (["-m"], ["python", "-m", "npufa"], None),
    (["script.py", "doctor"], ["python", "script.py", "doctor"], None),
    ([""], ["python"], None),
])  # fmt: skip
def test_when_the_doctor_is_asked(argv, command_line, expected):
    assert _doctor_command.arguments_of(argv, command_line) == expected


def test_text_gives_advice_and_fits_the_line():
    findings = [Finding("Python", "torch", WRONG, "word " * 60, "Do this.")]
    text = Report(findings, [Target("cpu", "CPU tensors", False, "torch")]).as_text()
    assert max(map(len, text.splitlines())) <= 120
    assert "wrong: word" in text and "-> Do this." in text
    assert text.splitlines()[-1] == f"{'  CPU tensors':<26}no: torch"


@pytest.mark.parametrize(("maker", "part", "name"), [
    ("0x48", "0xd01", "TaiShan v110 (Kunpeng 920)"), ("0x41", "0xd01", "implementer 0x41, part 0xd01")])
def test_a_host_with_another_processor(atlas, monkeypatch, maker, part, name):
    """Of aarch64, which has no AVX2 and needs none."""
    atlas.write("proc/cpuinfo", f"Features\t: fp asimd asimddp\nCPU implementer\t: {maker}\nCPU part\t: {part}\n")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert machine.processor(atlas.host()) == (name, {"fp", "asimd", "asimddp"})
    assert simulator.libraries(atlas.host(), Step({}, "")).state == OK
