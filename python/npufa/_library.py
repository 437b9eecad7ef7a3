"""Loading of the compiled operators into torch."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from . import _autoload
from ._version import TORCH_VERSION

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


def load() -> None:
    """Registers the operators of `torch.ops.npufa`.

    Raises:
        ImportError: torch is missing or not the version the library was compiled for, or the library itself is
            missing or cannot be loaded.
    """
    with _torch_npu_stays_unloaded_without_cann():
        import torch

    version = torch.__version__.partition("+")[0]
    if version != TORCH_VERSION:
        raise ImportError(f"npufa is compiled for torch {TORCH_VERSION}, found {torch.__version__}: "
                          f"pip install torch=={TORCH_VERSION}")
    if not LIBRARY.exists():
        raise ImportError(f"{LIBRARY} is missing: run ./build.sh build in the source tree, or install the npufa wheel")
    try:
        torch.ops.load_library(str(LIBRARY))
    except OSError as error:
        raise ImportError(f"{LIBRARY} cannot be loaded by torch {torch.__version__}: {error}") from error
