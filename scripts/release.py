"""The release checklist, one step after the other, up to the point of publishing; see `build.sh --help`."""

from __future__ import annotations

import argparse
import hashlib
import re
import runpy
import shlex
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION: str = runpy.run_path(str(ROOT / "python/npufa/_version.py"))["__version__"]
SDIST = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
NUMBER = re.compile(r"npufa(?:==|-)(\d+\.\d+\.\d+)")


def run(*command: str) -> None:
    print("$", shlex.join(command), flush=True)
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise SystemExit(f"release: stopped: {shlex.join(command)} failed")


def output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def clean_tree() -> None:
    if changed := output("git", "status", "--porcelain"):
        raise SystemExit(f"release: stopped: the tree has changes that are in no commit:\n{changed}")
    if output("git", "tag", "--list", f"v{VERSION}"):
        raise SystemExit(f"release: stopped: tag v{VERSION} exists; set the next version in python/npufa/_version.py")


def changelog_entry(text: str, version: str) -> str:
    """Returns what the changelog says of a version.

    Raises:
        ValueError: there is no such entry, it has no day or one that does not exist, or it is empty.
    """
    _, *entries = re.split(r"^## ", text, flags=re.MULTILINE)
    for entry in entries:
        title, _, body = entry.partition("\n")
        if not title.startswith(f"[{version}]"):
            continue
        try:
            date.fromisoformat(title.removeprefix(f"[{version}] - ").strip())
        except ValueError:
            raise ValueError(f"the entry of {version} has no day, got '## {title}'; expected "
                             f"'## [{version}] - YYYY-MM-DD'") from None
        if not re.search(r"^- ", body, re.MULTILINE):
            raise ValueError(f"the entry of {version} is empty")
        return body.strip()
    raise ValueError(f"no entry '## [{version}] - YYYY-MM-DD'")


def other_versions(pages: dict[str, str], version: str) -> list[str]:
    """Returns where pages name a wheel or archive of another version."""
    return [f"{name}: {found[0]}" for name, text in pages.items() for found in NUMBER.finditer(text)
            if found[1] != version]


def written_version() -> None:
    try:
        changelog_entry((ROOT / "CHANGELOG.md").read_text("utf-8"), VERSION)
    except ValueError as error:
        raise SystemExit(f"release: stopped: CHANGELOG.md: {error}") from None
    pages = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
             for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))}
    if found := other_versions(pages, VERSION):
        raise SystemExit(f"release: stopped: pages name another version than {VERSION}:\n" + "\n".join(found))


def built() -> None:
    files = sorted((ROOT / "dist").glob(f"npufa-{VERSION}*")) + sorted((ROOT / "build/cann").glob("*.run"))
    for file in files:
        print(hashlib.sha256(file.read_bytes()).hexdigest(), file.relative_to(ROOT))
    for what, suffix in (("wheel", ".whl"), ("source archive", ".tar.gz")):
        if not any(file.name.endswith(suffix) for file in files):
            raise SystemExit(f"release: stopped: dist has no {what} of {VERSION}")


def command(*words: str) -> Callable[[], None]:
    return lambda: run(*words)


STEPS: dict[str, tuple[str, Callable[[], None]]] = {
    "tree": ("nothing is uncommitted, the version has no tag", clean_tree),
    "version": ("CHANGELOG.md has a dated entry, pages name no other version", written_version),
    "lint": ("C++, Python, types, shell scripts", command("./build.sh", "lint")),
    "test": ("the suite, as CI runs it", command("./build.sh", "test")),
    "slow": ("the long tests", command("./build.sh", "test", "-m", "slow")),
    "docs": ("the site, links checked", command("./build.sh", "docs")),
    "wheels": ("a wheel for every torch of tier 1", command("./build.sh", "wheels")),
    "source": ("the source archive", command(".venv/bin/python", "-c", SDIST)),
    "package": ("the operator package, on a host with CANN",
                command("./build.sh", "package", "--soc", "ascend910b", "--soc", "ascend910_93")),
    "built": ("wheels and archive are there; their digests", built),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="build.sh release", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
        epilog="steps:\n" + "\n".join(f"  {name:9}{what}" for name, (what, _) in STEPS.items()))
    parser.add_argument("steps", nargs="*", metavar="STEP", help="only these; all without")
    parser.add_argument("--without", action="append", default=[], metavar="STEP", help="all but this one")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    options = parser.parse_args()
    for name in (*options.steps, *options.without):
        if name not in STEPS:
            parser.error(f"no step {name}; expected {', '.join(STEPS)}")
    chosen = [name for name in STEPS if name in (options.steps or STEPS) and name not in options.without]
    print(f"== npufa {VERSION}: {', '.join(chosen)}", flush=True)
    for name in chosen:
        what, step = STEPS[name]
        print(f"== {name}: {what}", flush=True)
        if not options.dry_run:
            step()
    left = [name for name in STEPS if name not in chosen]
    print("== not published" + (f"; left out: {', '.join(left)}" if left else ""))
    print(f"To publish: git tag -a v{VERSION}, push the tag, upload dist and build/cann with the changelog's entry.")


if __name__ == "__main__":
    main()
