"""An environment of its own for a client's script, and the script run in it, on the simulated chip.

    CLIENT = Client("vllm", torch="2.10.0", requirements="vllm_requirements.txt", steps=[...])
    if __name__ == "__main__":
        run_in_environment(CLIENT, __file__)     # outside: makes the environment, then comes back inside
        main()                                   # inside
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSIDE = "NPUFA_CLIENT"  # in the environment's processes: the client's name

sys.path.insert(0, str(ROOT / "scripts"))


@dataclasses.dataclass(frozen=True)
class Client:
    """What a script needs.

    Attributes:
        name: of the environment's folder.
        torch: a release of docs/versions.md, installed with its torch_npu.
        requirements: file of everything else, exact versions, beside the script.
        steps: further arguments of `pip install` with variables of its environment, in order.
        variables: environment of the script and what it starts.
    """

    name: str
    torch: str
    requirements: str
    steps: tuple[tuple[list[str], dict[str, str]], ...] = ()
    variables: dict[str, str] = dataclasses.field(default_factory=dict)


def run_in_environment(client: Client, script: str) -> None:
    """Returns inside the client's environment, and for --help; outside it makes it, runs the script there and ends the
    process."""
    if os.environ.get(INSIDE) == client.name or {"-h", "--help"} & {*sys.argv[1:]}:
        return
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--environments", type=Path, default=ROOT / "build/clients",
                        help="folder of the environments (default: build/clients)")
    parser.add_argument("--wheel", type=Path, help="npufa's wheel for this torch (default: built from these sources)")
    arguments, rest = parser.parse_known_args()
    folder = arguments.environments.resolve() / client.name
    python = _environment(client, folder)
    _once(folder / "npufa.stamp", _sources_digest(arguments.wheel), lambda: _install_npufa(folder, arguments.wheel))
    # As `python -m npufa run --children`, in every process that starts below.
    variables = {"NPUFA_SIM": "Ascend910B3", INSIDE: client.name, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    command = [python, script, *rest]
    sys.exit(subprocess.run(command, env=os.environ | client.variables | variables).returncode)


def _environment(client: Client, folder: Path) -> Path:
    """Its interpreter; what is missing is installed."""
    import row_tree

    row = row_tree.VERSIONS["row_of"](client.torch)
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([row_tree.interpreter(row), "-m", "venv", folder], check=True)

    def install() -> None:
        # torch_npu's metadata demands CPU builds of torch, which not every index has.
        if _pip(folder, [f"torch=={client.torch}+cpu"], check=False) != 0:
            _pip(folder, [f"torch=={client.torch}"])
        _pip(folder, ["--no-deps", f"torch-npu=={row.torch_npu}"])
        _pip(folder, ["--no-deps", "-r", str(HERE / client.requirements)])
        for step, variables in client.steps:
            _pip(folder, step, variables)

    text = (HERE / client.requirements).read_text()
    _once(folder / "client.stamp", hashlib.sha256(f"{client} {text}".encode()).hexdigest(), install)
    return python


def _pip(folder: Path, arguments: list[str], variables: dict[str, str] | None = None, check: bool = True) -> int:
    print("== pip install", *arguments, flush=True)
    options = ["--disable-pip-version-check", "--no-input", "--no-compile", "--progress-bar", "off"]
    # What builds with torch_npu installed and without CANN must not import it.
    outside = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    command = [folder / "bin/python", "-m", "pip", "install", *options, *arguments]
    return subprocess.run(command, env=os.environ | outside | (variables or {}), check=check).returncode


def _install_npufa(folder: Path, wheel: Path | None) -> None:
    import row_tree

    if wheel is not None:
        _pip(folder, ["--no-deps", "--force-reinstall", str(wheel)])
        return
    with row_tree.tree(folder / "npufa", keep=True) as sources:
        _pip(folder, ["--no-build-isolation", "--no-deps", "--force-reinstall", str(sources)])


def _sources_digest(wheel: Path | None) -> str:
    import row_tree

    if wheel is not None:
        return hashlib.sha256(wheel.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for name in row_tree.sources():
        if name.split("/")[0] not in ("docs", "tests", "examples", "benchmarks"):
            digest.update(name.encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()


def _once(stamp: Path, digest: str, work: Callable[[], None]) -> None:
    if not stamp.exists() or stamp.read_text() != digest:
        work()
        stamp.write_text(digest)
