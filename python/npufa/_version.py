"""The versions that belong together: npufa's own, and the table of torch and torch_npu that it is built for.

Builds, checks and documents read them from here. The file imports nothing of npufa, so that it can be executed alone.
"""

from __future__ import annotations

from typing import NamedTuple

__version__ = "0.2.0"


class Row(NamedTuple):
    """A minor version of torch that npufa can be built with.

    Attributes:
        torch: the release that is tested; every release of its minor version is accepted.
        torch_npu: the release that is tested with it; others of the same minor version are accepted, post-releases too.
        tier: 1: everything works; 2: what this torch lacks is refused by name; 3: eager operators and their gradients.
        pythons: lowest and highest minor version of Python 3 that both have wheels for and npufa supports.
    """

    torch: str
    torch_npu: str
    tier: int
    pythons: tuple[int, int]

    @property
    def minor(self) -> str:
        return minor(self.torch)

    @property
    def wheel(self) -> str:
        """The requirement that names the wheel for this torch."""
        return f"npufa=={__version__}" + local_version(self)


TABLE = (
    Row("2.1.0", "2.1.0.post17", 3, (10, 11)),
    Row("2.3.1", "2.3.1.post6", 3, (10, 11)),
    Row("2.4.0", "2.4.0.post4", 3, (10, 11)),
    Row("2.5.1", "2.5.1.post1", 2, (10, 11)),
    Row("2.6.0", "2.6.0.post5", 2, (10, 12)),
    Row("2.7.1", "2.7.1.post11", 1, (10, 13)),
    Row("2.8.0", "2.8.0.post5", 1, (10, 13)),
    Row("2.9.0", "2.9.0.post9", 1, (10, 14)),
    Row("2.10.0", "2.10.0.post4", 1, (10, 14)),
    Row("2.11.0", "2.11.0", 1, (10, 14)),
    Row("2.12.0", "2.12.0", 1, (10, 14)),
    Row("2.13.0", "2.13.0", 1, (10, 14)),
    Row("2.14.0", "2.14.0", 1, (10, 14)),
)
DEFAULT_TORCH = "2.13.0"


def minor(version: str) -> str:
    """Returns "2.10" for "2.10.0.post4" or "2.10.0+cpu"."""
    return ".".join(version.partition("+")[0].split(".")[:2])


def row_of(torch: str) -> Row | None:
    """Returns the row of a release of torch; None where npufa is not made for it."""
    return next((row for row in TABLE if row.minor == minor(torch)), None)


def local_version(row: Row) -> str:
    """Returns what is added to npufa's version in wheels that are not for the default torch."""
    return "" if row.torch == DEFAULT_TORCH else f"+torch{row.minor}"


def supported() -> str:
    return f"torch {TABLE[0].minor} to {TABLE[-1].minor} ({', '.join(row.minor for row in TABLE)})"


def requirements(row: Row) -> tuple[str, str]:
    """Returns what a build for this torch demands of torch and of torch_npu."""
    return f"torch=={row.minor}.*", f"torch-npu=={row.minor}.*"
