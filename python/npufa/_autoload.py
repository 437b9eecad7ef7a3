"""Keeps `import torch` working where torch_npu is installed and CANN is not.

torch imports every installed device backend; importing torch_npu without CANN's libraries raises. `npufa_autoload.pth`
executes this file when Python starts, `npufa._library` before it imports torch.
"""

import os
from importlib.util import find_spec

SWITCH = "TORCH_DEVICE_BACKEND_AUTOLOAD"


def cann_library() -> str | None:
    """Path of CANN's libascendcl.so, or its bare name where only the system's loader knows it; None without CANN."""
    name = "libascendcl.so"
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if home := os.environ.get("ASCEND_HOME_PATH"):
        folders.append(os.path.join(home, "lib64"))
    for folder in filter(None, folders):
        if os.path.exists(path := os.path.join(folder, name)):
            return path
    try:
        with open("/etc/ld.so.cache", "rb") as cache:
            return name if name.encode() in cache.read() else None
    except OSError:
        return None


def torch_npu_would_fail() -> bool:
    """True when torch's autoload is on, would import torch_npu, and that could not find CANN."""
    return SWITCH not in os.environ and find_spec("torch_npu") is not None and cann_library() is None


def switch_off() -> None:
    """Turns torch's autoload off, for this process and those it starts, where it would fail."""
    if torch_npu_would_fail():
        os.environ[SWITCH] = "0"


if __name__ == "npufa_autoload":
    switch_off()
