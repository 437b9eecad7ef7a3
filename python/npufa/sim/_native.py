"""The simulator's shared library, loaded once, with the types of its C functions."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

LIBRARY_DIR = Path(os.environ.get("NPUFA_LIBRARY_DIR") or Path(__file__).resolve().parent.parent / "lib")

_FUNCTIONS = {
    "npufa_sim_launch": (
        ctypes.c_char_p,
        [ctypes.c_char_p] * 4
        + [ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p]
        + [ctypes.c_int] * 5
        + [ctypes.c_uint64, ctypes.c_int],
    ),
    "npufa_sim_run_program": (ctypes.c_int, [ctypes.c_char_p] * 2 + [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]),
    "npufa_sim_select_chip": (ctypes.c_int, [ctypes.c_char_p]),
    "npufa_sim_set_checks": (None, [ctypes.c_int]),
    "aclGetRecentErrMsg": (ctypes.c_char_p, []),
    "npufa_sim_program_problems": (ctypes.c_int, []),
    "npufa_sim_set_auto_sync": (None, [ctypes.c_int]),
    "npufa_sim_profile_begin": (ctypes.c_int, [ctypes.c_char_p]),
    "npufa_sim_profile_end": (ctypes.c_char_p, []),
    "npufa_sim_profile_trace": (ctypes.c_int, [ctypes.c_int, ctypes.c_char_p, ctypes.c_ulonglong]),
    "npufa_sim_profile_timeline": (ctypes.c_char_p, [ctypes.c_int, ctypes.c_int, ctypes.c_int]),
    "npufa_sim_profile_spans": (ctypes.c_char_p, [ctypes.c_int, ctypes.c_int, ctypes.c_ulonglong]),
    "npufa_sim_profile_free": (None, [ctypes.c_int]),
    "npufa_sim_profile_error": (ctypes.c_char_p, []),
    "npufa_sim_chips": (ctypes.c_char_p, []),
}


@functools.cache
def native() -> ctypes.CDLL:
    """libnpufa_sim.so.

    Raises:
        RuntimeError: the library was not built, or the CPU lacks the instructions it was built for.
    """
    path = LIBRARY_DIR / "libnpufa_sim.so"
    if not path.exists():
        raise RuntimeError(f"{path} is missing: run ./build.sh build, or install a wheel that has the simulator")
    library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library
