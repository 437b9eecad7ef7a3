"""Source distribution and wheel, and the wheel installed where there is nothing but torch (and torch_npu)."""

import importlib.metadata
import platform
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import npufa
from npufa import _version

ROOT = Path(__file__).resolve().parents[2]
COMPILED = ("cann", "framework", "op_host", "op_kernel", "sim")

CALL = """
import sys
from pathlib import Path
import torch
import npufa

assert Path(npufa.__file__).is_relative_to(sys.prefix), npufa.__file__
query, key, value = torch.randn(3, 2, 4, 33, 64).unbind()
found = npufa.npu_prompt_flash_attention(query, key, value, num_heads=4, input_layout="BNSD", scale_value=0.125)
torch.testing.assert_close(found, torch.nn.functional.scaled_dot_product_attention(query, key, value))
"""

SIMULATED = """
import npufa.sim
npufa.sim.enable()
on_npu = npufa.npu_prompt_flash_attention(query.half().npu(), key.half().npu(), value.half().npu(), num_heads=4,
                                          input_layout="BNSD", scale_value=0.125)
torch.testing.assert_close(on_npu.cpu().float(), found, rtol=2e-2, atol=2e-3)
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_requirements(name, found):
    """The distribution and, recursively, what it requires without extras."""
    distribution = importlib.metadata.distribution(name)
    if distribution.name not in found:
        found[distribution.name] = distribution
        for requirement in distribution.requires or []:
            requirement, _, marker = requirement.partition(";")
            if "extra" not in marker:
                try:
                    with_requirements(re.match(r"[\w.-]+", requirement)[0], found)
                except importlib.metadata.PackageNotFoundError:
                    assert marker, f"{name} requires {requirement}"
    return found


def build_wheel(source, folder):
    options = ("--no-cache-dir", "--no-build-isolation", "--no-deps")
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", folder, source)
    [wheel] = folder.iterdir()
    return wheel


def environment(folder, *distributions):
    """Python of a new environment that has these distributions and what they require."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    found = {}
    for name in distributions:
        with_requirements(name, found)
    for distribution in found.values():
        for name in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(distribution.locate_file(name))
    return python


def install(python, wheel, extra=""):
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--find-links", wheel.parent,
        f"npufa{extra}")  # fmt: skip


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})", cwd=ROOT)
    [sdist] = folder.iterdir()
    return sdist


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def python_sources():
    package = ROOT / "python/npufa"
    return {path for path in package.rglob("*.py") if package / "lib" not in path.parents}


def files_in(archive):
    with zipfile.ZipFile(archive) as opened:
        return {name for name in opened.namelist() if not name.endswith("/")}


def test_sdist_has_what_is_compiled(sdist):
    assert sdist.name == f"npufa-{npufa.__version__}.tar.gz"
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    expected = {path for folder in COMPILED for path in (ROOT / folder).rglob("*")} | python_sources()
    expected |= {ROOT / name for name in ("CMakeLists.txt", "pyproject.toml", "setup.py", "build.sh", "README.md",
                                          "python/npufa_autoload.pth", "python/npufa/py.typed")}  # fmt: skip
    expected = {path.relative_to(ROOT).as_posix() for path in expected if path.is_file() and path.suffix != ".pyc"}
    assert expected - names == set()
    assert not [name for name in names if name.startswith(("tests", "build/", "python/npufa/lib/")) or ".pyc" in name]


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(900)
def test_content(wheel):
    assert wheel.name == f"npufa-{npufa.__version__}-py3-none-linux_{platform.machine()}.whl"
    names = files_in(wheel)
    libraries = {name.removeprefix("npufa/lib/") for name in names if name.endswith(".so")}
    loaded = {"libnpufa_torch.so", "calls.abi3.so", "libnpufa_sim.so", "libnpufa_sim_aten.so", "sim/libascendcl.so"}
    assert loaded < libraries
    kernels = {f"sim/kernels/{path.stem}.{core}.so" for path in ROOT.glob("op_kernel/*.cpp") for core in ("aic", "aiv")}
    assert {name for name in libraries if name.startswith("sim/kernels/")} == kernels
    outside = {name for name in names if not name.startswith((f"npufa-{npufa.__version__}.dist-info/", "npufa/"))}
    assert outside == {"npufa_autoload.pth"}
    assert "npufa/py.typed" in names
    sources = {path.relative_to(ROOT / "python").as_posix() for path in python_sources()}
    assert {name for name in names if name.endswith(".py")} == sources


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(900)
def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"npufa-{npufa.__version__}.dist-info/METADATA").decode()
    headers, _, description = text.partition("\n\n")
    torch, torch_npu = _version.requirements(_version.row_of(_version.DEFAULT_TORCH))
    assert {
        "Name: npufa",
        f"Version: {npufa.__version__}",
        "Description-Content-Type: text/markdown",
        f"Requires-Dist: {torch}",
        f'Requires-Dist: {torch_npu}; extra == "npu"',
        'Requires-Dist: protobuf<8,>=3.20; extra == "npu"',
        'Requires-Dist: transformers<6,>=5.4; extra == "serving"',
        'Requires-Dist: pillow; extra == "sim"',
    } <= set(headers.splitlines())
    assert description.strip() == (ROOT / "README.md").read_text().strip()


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(3600)
def test_wheel_of_the_sdist_has_the_same_files(wheel, sdist, tmp_path):
    """Compiles everything."""
    assert files_in(build_wheel(sdist, tmp_path)) == files_in(wheel)


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(900)
def test_works_beside_torch_alone(wheel, tmp_path):
    python = environment(tmp_path / "venv", "torch")
    install(python, wheel)
    run(python, "-c", CALL, cwd=tmp_path)
    assert npufa.__version__ in run(python, "-m", "npufa", "info", cwd=tmp_path)
    report = subprocess.run([python, "-m", "npufa", "doctor", "--require", "sim"], capture_output=True, text=True,
                            cwd=tmp_path)
    assert report.returncode == 1 and "pip install npufa[npu]" in report.stdout
    assert report.stderr == "npufa doctor: does not work here: sim\n"


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(900)
def test_works_beside_torch_npu(wheel, tmp_path):
    python = environment(tmp_path / "venv", "torch_npu", "protobuf", "packaging")
    install(python, wheel, "[npu]")
    run(python, "-c", CALL + SIMULATED, cwd=tmp_path)
    run(python, "-m", "npufa", "doctor", "--require", "sim", "--require", "graph", cwd=tmp_path)
