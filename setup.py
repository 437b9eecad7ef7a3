"""Compiles the libraries with the CMake project beside this file for the torch that is there; what depends on its
version is here, everything else in pyproject.toml."""

import os
import runpy
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
VERSIONS = runpy.run_path(str(ROOT / "python/npufa/_version.py"))


def row_of_torch():
    """The row of the table for the torch that is there; the default's where there is none."""
    try:
        found = version("torch")
    except PackageNotFoundError:
        found = VERSIONS["DEFAULT_TORCH"]
    row = VERSIONS["row_of"](found)
    if row is None:
        raise SystemExit(f"torch {found} is installed; npufa is made for {VERSIONS['supported']()}")
    return row


class CMakeBuild(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext: Extension) -> None:
        torch = find_spec("torch")
        if torch is None:
            raise SystemExit(f"torch is missing: install {VERSIONS['supported']()}, or let pip isolate the build")
        # An isolated build has a torch of its own that vanishes afterwards; any other one shares build.sh's directory.
        isolated = not Path(torch.origin).is_relative_to(sys.prefix)
        build = Path(self.build_temp).resolve() if isolated else ROOT / "build"
        libraries = build / "lib" if isolated and not self.editable_mode else ROOT / "python/npufa/lib"
        steps = [
            ["-S", ROOT, "-B", build, "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}",
             f"-DNPUFA_LIBRARY_DIR={libraries}"],
            ["--build", build, "--target", "npufa"],
        ]
        if not self.editable_mode:
            # Installed instead of copied: the shared directory may hold what earlier sources left.
            folder = Path(self.get_ext_fullpath(ext.name)).parent
            shutil.rmtree(folder, ignore_errors=True)  # of an earlier wheel
            steps.append(["--install", build, "--prefix", folder, "--component", "npufa"])
            shutil.copy(ROOT / "python/npufa_autoload.pth", self.build_lib)
        for step in steps:
            subprocess.run(["flock", ROOT / "build.sh", "cmake", *step], check=True)

    def copy_extensions_to_source(self) -> None:
        """Nothing to do: in development mode the libraries are made where they are used."""


class PlatformWheel(bdist_wheel):
    """No library needs more of Python than its stable ABI: one wheel per platform serves every Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


# A source distribution serves every torch.
row = VERSIONS["row_of"](VERSIONS["DEFAULT_TORCH"]) if "sdist" in sys.argv else row_of_torch()
torch, torch_npu = VERSIONS["requirements"](row)
setup(
    version=VERSIONS["__version__"] + VERSIONS["local_version"](row),
    install_requires=[torch, "packaging"],
    extras_require={
        # torchair, which is part of torch_npu, imports protobuf; the metadata of torch_npu does not name it.
        "npu": [torch_npu, "protobuf>=3.20,<8"],
        "sim": ["npufa[npu]", "pillow"],
        "monitor": ["prometheus_client"],
        "serving": ["transformers>=5.4,<6", "tqdm"],
    },
    ext_modules=[Extension("npufa.lib.libnpufa_torch", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "bdist_wheel": PlatformWheel},
    options={"build": {"build_base": str(ROOT / "build" / "wheel")}},
)
