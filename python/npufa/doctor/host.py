"""The machine as the doctor sees it: files below a root, environment variables, installed distributions."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Host:
    """Where everything is looked up.

    Attributes:
        root: folder that stands for "/" (tests have other ones).
        environment: environment variables.
        user: id of the user, as `os.getuid`.
    """

    root: Path = Path("/")
    environment: Mapping[str, str] = dataclasses.field(default_factory=lambda: dict(os.environ))
    user: int = dataclasses.field(default_factory=os.getuid)

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str) -> str:
        """Content of a small file; empty when it cannot be read."""
        return read(self.path(absolute))


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def version_of(distribution: str) -> str | None:
    """Version of an installed distribution; None when there is none or its metadata is damaged."""
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, OSError, KeyError, TypeError):
        return None


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def has_module(name: str) -> bool:
    """Whether `import name` would find something; imports parents of dotted names only."""
    return _spec(name) is not None


def folder_of(package: str) -> Path | None:
    """Folder of an installed package, which is not imported."""
    spec = _spec(package)
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None
