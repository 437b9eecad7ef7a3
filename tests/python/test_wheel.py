"""The wheel, installed where there is nothing but torch."""

import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", folder, ROOT / "python")
    [wheel] = folder.iterdir()
    return wheel


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_content(wheel):
    assert re.fullmatch(r"npufa-[\d.]+-py3-none-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    libraries = {name.removeprefix("npufa/lib/") for name in names if name.endswith(".so")}
    assert {"libnpufa_torch.so", "libnpufa_sim.so", "libnpufa_sim_aten.so", "sim/libascendcl.so"} < libraries
    assert "npufa_autoload.pth" in names
    assert "npufa/py.typed" in names
    sources = {path.relative_to(ROOT / "python").as_posix() for path in (ROOT / "python/npufa").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert "Requires-Dist: torch==2.13.0\n" in metadata


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_works_beside_torch_alone(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for distribution in with_requirements("torch", {}).values():
        for name in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(distribution.locate_file(name))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", wheel)
    run(python, "-c", CALL, cwd=tmp_path)
