"""Loading of the compiled operators into torch."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from . import _autoload
from ._version import minor, row_of, supported

LIBRARY = Path(__file__).parent / "lib" / "libnpufa_torch.so"


@contextlib.contextmanager
def _torch_npu_stays_unloaded_without_cann() -> Iterator[None]:
    if "torch" in sys.modules or not _autoload.torch_npu_would_fail():
        yield
        return
    os.environ[_autoload.SWITCH] = "0"
    try:
        yield
    finally:
        os.environ.pop(_autoload.SWITCH, None)


def built_for() -> str | None:
    """Returns the version of torch that the library was compiled for; None where it cannot be read."""
    try:
        found = re.search(rb"npufa built for torch ([\d.]+)", LIBRARY.read_bytes())
    except OSError:
        return None
    return None if found is None else found[1].decode()


def _require_torch(version: str) -> None:
    built = built_for()
    if built is None or minor(version) == minor(built):
        return
    row = row_of(version)
    raise ImportError(
        f"npufa is compiled for torch {minor(built)}, found {version}: "
        + (f"install the wheel {row.wheel}, or build it with this torch (docs/versions.md)" if row else
           f"pip install 'torch=={minor(built)}.*'; npufa can be built for {supported()}"))


def load() -> None:
    """Registers the operators of `torch.ops.npufa`.

    Raises:
        ImportError: torch is missing or not of the minor version the library was compiled for, or the library itself is
            missing or cannot be loaded.
    """
    with _torch_npu_stays_unloaded_without_cann():
        import torch

    if not LIBRARY.exists():
        raise ImportError(f"{LIBRARY} is missing: run ./build.sh build in the source tree, or install the npufa wheel")
    _require_torch(torch.__version__)
    try:
        torch.ops.load_library(str(LIBRARY))
    except OSError as error:
        raise ImportError(f"{LIBRARY} cannot be loaded by torch {torch.__version__}: {error}") from error
