"""Driver, device nodes and CANN toolkit of an Atlas host."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from .host import Host, read
from .probing import Step
from .report import MISSING, OK, WRONG, Finding

PART = "CANN"
DRIVER = "/usr/local/Ascend/driver"
# What a container needs besides the devices themselves.
SHARED_NODES = ("davinci_manager", "devmm_svm", "hisi_hdc")
LIBRARY, HCCL = "libascendcl.so", "libhccl.so"


def devices(host: Host) -> list[Path]:
    """Device nodes of NPUs, /dev/davinci<n>."""
    nodes = [node for node in host.path("/dev").glob("davinci*") if node.name[len("davinci"):].isdigit()]
    return sorted(nodes, key=lambda node: int(node.name[len("davinci"):]))


def device_nodes(host: Host) -> Finding:
    nodes = devices(host)
    if not nodes:
        return Finding(PART, "NPU", MISSING, "no /dev/davinci<n>", "Use a host with an Atlas A2 or A3 card and its "
                       "driver; start a container with --device=/dev/davinci0 and so on.")
    names = ", ".join(node.name for node in nodes)
    absent = [name for name in SHARED_NODES if not os.path.exists(host.path(f"/dev/{name}"))]
    if absent:
        return Finding(PART, "NPU", WRONG, f"{names}, but not {', '.join(absent)}", "Start the container with "
                       + " ".join(f"--device=/dev/{name}" for name in absent) + ".")
    if not all(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return Finding(PART, "NPU", WRONG, f"{names}, not accessible for this user",
                       "Add the user to the driver's group: usermod -aG HwHiAiUser <user>, then log in again.")
    return Finding(PART, "NPU", OK, names)


def _folder_of_driver(host: Host) -> str:
    install = re.search(r"^Driver_Install_Path_Param=(\S+)", host.read("/etc/ascend_install.info"), re.MULTILINE)
    return f"{install[1]}/driver" if install else DRIVER


def driver(host: Host) -> Finding:
    folder = _folder_of_driver(host)
    version = _version_in(host.read(f"{folder}/version.info"))
    if version is None:
        return Finding(PART, "driver", MISSING, f"no {folder}/version.info", "Install the NPU driver and firmware on "
                       f"the host; a container mounts the driver: -v {DRIVER}:{DRIVER}.")
    return Finding(PART, "driver", OK, f"{version} in {folder}")


def _version_in(text: str) -> str | None:
    found = re.search(r"^\s*\"?version\"?\s*[=:]\s*[\"\[]?([\w.+-]+)", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else None


def toolkit_version(home: Path) -> str | None:
    """Version of the toolkit in `home`, from the first of the files that its releases have."""
    architecture = f"{platform.machine()}-linux"
    for name in (f"{architecture}/ascend_toolkit_install.info", "ascend_toolkit_install.info", "version.info",
                 "compiler/version.info", "runtime/version.info", "opp/version.info"):
        version = _version_in(read(home / name))
        if version is not None:
            return version
    return None


def toolkit(host: Host) -> Finding:
    home = host.environment.get("ASCEND_HOME_PATH", "")
    if not home:
        return Finding(PART, "toolkit", MISSING, "ASCEND_HOME_PATH is not set",
                       "Install CANN (toolkit and kernels) for torch_npu's version, then: source <toolkit>/set_env.sh")
    if not os.path.isdir(home):
        return Finding(PART, "toolkit", WRONG, f"ASCEND_HOME_PATH is {home}, which is no folder",
                       "source the set_env.sh of an installed toolkit.")
    return Finding(PART, "toolkit", OK, f"{toolkit_version(Path(home)) or 'unknown version'} in {home}")


def _loader_knows(host: Host, name: str) -> bool:
    try:
        return name.encode() in host.path("/etc/ld.so.cache").read_bytes()
    except OSError:
        return False


def _loaded_from(host: Host, name: str) -> str | None:
    """Where the loader would find a library; None when it would not."""
    for folder in filter(None, host.environment.get("LD_LIBRARY_PATH", "").split(":")):
        if os.path.exists(path := os.path.join(folder, name)):
            return path
    return f"{name}, known to the system's loader" if _loader_knows(host, name) else None


def library(host: Host) -> Finding:
    """CANN's library as the loader would find it: torch_npu is linked with it."""
    if found := _loaded_from(host, LIBRARY):
        return Finding(PART, "libraries", OK, found)
    home = host.environment.get("ASCEND_HOME_PATH", "")
    if home and os.path.exists(os.path.join(home, "lib64", LIBRARY)):
        return Finding(PART, "libraries", WRONG, f"{LIBRARY} is in {home}/lib64, which LD_LIBRARY_PATH does not name",
                       f"source {home}/set_env.sh (it may be one folder up).")
    return Finding(PART, "libraries", MISSING, f"no {LIBRARY} in LD_LIBRARY_PATH",
                   "source the toolkit's set_env.sh.")


def collectives(host: Host) -> Finding:
    """HCCL, the collective communication of torch.distributed on NPUs."""
    found = _loaded_from(host, HCCL)
    return Finding(PART, "HCCL", OK if found else MISSING, found or f"no {HCCL} in LD_LIBRARY_PATH",
                   "" if found else "For torch.distributed on NPUs: source the toolkit's set_env.sh.")


def operators_path(host: Host) -> Finding:
    """ASCEND_OPP_PATH, below which operators are looked for."""
    path = host.environment.get("ASCEND_OPP_PATH", "")
    if not path:
        return Finding(PART, "operators", MISSING, "ASCEND_OPP_PATH is not set", "source the toolkit's set_env.sh.")
    if not os.path.isdir(path):
        return Finding(PART, "operators", WRONG, f"ASCEND_OPP_PATH is {path}, which is no folder",
                       "Install the kernels package of CANN (Ascend-cann-kernels) or source the right set_env.sh.")
    return Finding(PART, "operators", OK, path)


def torch_npu(step: Step | None, chips: tuple[str, ...]) -> Finding:
    """torch_npu on a real CANN, and whether the operator package has kernels for the cards that it sees.

    Args:
        step: what the probe found; None when it was not asked.
        chips: that the operator package has kernels for; empty without one.
    """
    name = "torch_npu on CANN"
    if step is None:
        return Finding("Python", name, MISSING, "not tried: torch_npu or CANN is missing")
    if step.error:
        return Finding("Python", name, WRONG, step.error, "CANN and driver must be of the releases that this torch_npu "
                       "names in its installation guide; npu-smi info must list the card.")
    devices = step.values.get("devices", [])
    if not devices:
        return Finding("Python", name, MISSING, "it sees no device", "npu-smi info must list the card.")
    foreign = [device for device in devices if chips and not device.lower().startswith(chips)]
    if foreign:
        return Finding("Python", name, WRONG, f"it sees {foreign[0]}, the operator package is for {', '.join(chips)}",
                       "Build the package with --soc for this chip (ascend910b, ascend910_93).")
    return Finding("Python", name, OK, f"{len(devices)} x {devices[0]}")


def findings(host: Host) -> list[Finding]:
    return [device_nodes(host), driver(host), toolkit(host), library(host), collectives(host), operators_path(host)]
