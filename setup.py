"""Compiles the libraries with the CMake project beside this file; everything else is in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class CMakeBuild(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext: Extension) -> None:
        torch = find_spec("torch")
        if torch is None:
            raise SystemExit("torch is missing: install the version of pyproject.toml or let pip isolate the build")
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


setup(
    ext_modules=[Extension("npufa.lib.libnpufa_torch", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "bdist_wheel": PlatformWheel},
    options={"build": {"build_base": str(ROOT / "build" / "wheel")}},
)
