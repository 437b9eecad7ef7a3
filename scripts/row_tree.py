"""Copies of the tree that are built with another torch, one row of the table in python/npufa/_version.py at a time."""

from __future__ import annotations

import contextlib
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = runpy.run_path(str(ROOT / "python/npufa/_version.py"))
NEEDED_GB = 15  # torch's CUDA build with what it requires, and a build


def rows(versions: list[str]) -> list:
    """The rows of these releases, in the order of the request; those of tier 1 for none."""
    if not versions:
        return [row for row in VERSIONS["TABLE"] if row.tier == 1]
    chosen = [VERSIONS["row_of"](version) for version in versions]
    for version, row in zip(versions, chosen):
        if row is None:
            raise SystemExit(f"no row for torch {version}; npufa is made for {VERSIONS['supported']()}")
    return chosen


def interpreter(row: object) -> str:
    """A Python that this torch has wheels for: the one that runs this if it is, else the newest on the path."""
    lowest, highest = row.pythons
    if lowest <= sys.version_info.minor <= highest:
        return sys.executable
    for minor in range(highest, lowest - 1, -1):
        if found := shutil.which(f"python3.{minor}"):
            return found
    raise SystemExit(f"torch {row.torch} needs Python 3.{lowest} to 3.{highest}, none is on the path; "
                     "start this command with one")


def sources() -> list[str]:
    """What git knows or would take, that is, nothing that was built."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@contextlib.contextmanager
def tree(folder: Path, keep: bool = False) -> Iterator[Path]:
    """A copy of the sources in the folder, which goes at the end with all that was built and installed there.

    With `keep` it stays, and what an earlier call has left is built on.
    """
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < NEEDED_GB and not (folder / ".venv").exists():
        raise SystemExit(f"{folder} has {free:.0f} GB left; a row needs {NEEDED_GB} GB")
    names = sources()
    listing = folder / ".sources"  # what an earlier call copied
    if listing.exists():
        for name in set(listing.read_text().split("\0")).difference(names):
            (folder / name).unlink(missing_ok=True)
    listing.write_text("\0".join(names))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def build_sh(folder: Path, row: object, *arguments: str) -> int:
    """build.sh in the copy, with the row's torch; returns its exit status."""
    environment = os.environ | {"NPUFA_TORCH": row.torch, "PYTHON": interpreter(row)}
    return subprocess.run(["bash", "build.sh", *arguments], cwd=folder, env=environment).returncode
