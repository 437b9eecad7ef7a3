"""What CMake asks about a torch, without importing it: `folder;version;1 or 0 for the ABI of std::string`.

usage: torch_facts.py [FOLDER], else the torch of this interpreter
"""

from __future__ import annotations

import importlib.util
import re
import runpy
import sys
from pathlib import Path

VERSIONS = runpy.run_path(str(Path(__file__).resolve().parents[1] / "python/npufa/_version.py"))


def version(folder: Path) -> str:
    found = re.search(r"^__version__ = ['\"](.+)['\"]", (folder / "version.py").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{folder}/version.py states no version")
    return found[1]


def has_new_abi(folder: Path) -> bool:
    """Whether it is compiled with the strings of C++11; wheels were not before torch 2.6."""
    config = folder / "share/cmake/Torch/TorchConfig.cmake"
    return "_GLIBCXX_USE_CXX11_ABI=0" not in config.read_text()


def installed() -> Path:
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{sys.executable} has no torch; npufa is made for {VERSIONS['supported']()}")
    return Path(spec.submodule_search_locations[0])


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else installed()
    release = version(folder)
    if VERSIONS["row_of"](release) is None:
        raise SystemExit(f"torch {release} in {folder}; npufa is made for {VERSIONS['supported']()}")
    print(folder, release, int(has_new_abi(folder)), sep=";")


if __name__ == "__main__":
    main()
