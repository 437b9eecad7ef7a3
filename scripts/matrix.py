"""Builds and tests npufa with other versions of torch and torch_npu, keeps docs/versions.md; see `build.sh --help`."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import cross
from row_tree import ROOT, VERSIONS, build_sh, rows, tree

SLICE = ["tests/ops", "tests/graph", "tests/compat", "tests/sim/torch", "tests/integrations"]
EAGER_SLICE = ["tests/ops", "tests/sim/torch"]  # tier 3
TIMEOUT = 900  # seconds for a test, unless PYTEST_TIMEOUT says otherwise: a matrix runs for hours, beside other work
RECORD = ROOT / "docs/versions.json"
PAGE = ROOT / "docs/versions.md"

FACTS = """
import importlib.metadata, json, platform, torch
print(json.dumps({"torch": torch.__version__, "torch_npu": importlib.metadata.version("torch-npu"),
                  "python": platform.python_version()}))
"""

HEAD = """# Versions of torch and torch_npu

npufa is built for one minor version of torch. `python -m npufa doctor` shows which, and the row of this table that a
machine is on; `import npufa` beside another torch says which wheel is wanted. torch_npu may be any release of the same
minor version, post-releases included.

    pip install --no-build-isolation npufa-{version}.tar.gz      # builds for the torch that is installed
    ./build.sh wheels 2.10.0                                # wheels into dist; without a version for all of tier 1
    NPUFA_TORCH=2.10.0 ./build.sh build                     # the repository with another torch in a new .venv

Wheels for another torch than {default} have a local version: `npufa=={version}+torch2.10`.

On x86-64 torch_npu's wheels demand CPU builds of torch (`torch==2.10.0+cpu`). Where the index has CUDA builds alone,
`pip install --no-deps torch-npu==2.10.0.post4` beside them works. aarch64's wheels of torch 2.11 and later are CUDA
builds, too. From 2.13 on a CUDA build of torch and torch_npu define the same settings of allocators (`Duplicated key
'pinned_reserve_segment_size_mb'`): `npufa.sim.enable` sets CUDA's aside, without the simulator they cannot be loaded
together.

Tier 1: everything. Tier 2: what this torch lacks is refused by name. Tier 3: eager operators and gradients, without
torch.compile. "Run" is `./build.sh matrix --torch VERSION`, that is the tests in
{slice};
for tier 3 in {eager_slice}. A row without a date has not been run; what a row left out is said
below the table. `./build.sh wheels 2.10.0` has been run, the installation from the source archive not to its end. Rows
of aarch64 are
`./build.sh matrix --arch aarch64`: a wheel made by a cross compiler, and the tests of `scripts/cross.py` under
qemu-user (CPU operators in every type, the choice of instructions on three processors, programs and operators on the
simulated NPU). They show results and no speed; on Kunpeng nothing has been run.

Python 3.10 is the oldest everywhere: the package uses what came with it (`zip(strict=True)`, `itertools.pairwise`,
`typing.ParamSpec`, `sys.orig_argv`), and Python 3.9 has been without updates since October 2025.

Beside torch, `npufa[serving]` takes transformers 5.4 to 5.x and `npufa[npu]` protobuf 3.20 to 7.x (for torchair). Run
with torch 2.13.0 were transformers 5.4.0 and 5.23.0, protobuf 3.20.3 and 7.36.2.

| torch | torch_npu | Python | tier | machine | run | passed | failed | skipped |
|---|---|---|---|---|---|---|---|---|
"""


def outcomes(report: str) -> dict:
    """Counts of a JUnit report, the names of what failed, and the reasons of skips that name a torch."""
    failed, reasons = [], set()
    cases = list(ElementTree.fromstring(report).iter("testcase"))
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
    skips = [skip for case in cases if (skip := case.find("skipped")) is not None]
    reasons = {skip.get("message", "") for skip in skips if skip.get("message", "").startswith("torch ")}
    return {"passed": len(cases) - len(failed) - len(skips), "failed": len(failed), "skipped": len(skips),
            "failures": failed, "refusals": sorted(reasons)}


def page(record: dict[str, dict]) -> str:
    """docs/versions.md from the table and what ran of it."""
    head = HEAD.format(version=VERSIONS["__version__"], default=VERSIONS["DEFAULT_TORCH"], slice=quoted(SLICE),
                       eager_slice=quoted(EAGER_SLICE))
    lines, notes = [], []
    for row in VERSIONS["TABLE"]:
        first, last = row.pythons
        known = f"{row.torch} | {row.torch_npu} | 3.{first} to 3.{last} | {row.tier}"
        runs = {name: run for name, run in record.items() if run["row"] == row.torch}
        if not runs:
            lines.append(f"| {known} | | | | | |")
        for run in runs.values():
            machine = f"{run['machine']}, torch {run['torch']}, torch_npu {run['torch_npu']}, Python {run['python']}"
            counts = f"{run['passed']} | {run['failed']} | {run['skipped']}"
            lines.append(f"| {known} | {machine} | {run['date']} | {counts} |")
            notes += describe(run)
    return head + "\n".join(lines) + "\n" + "\n".join(notes) + ("\n" if notes else "")


def quoted(paths: list[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def slice_of(row: object, foreign: bool) -> list[str]:
    return cross.SLICE if foreign else EAGER_SLICE if row.tier == 3 else SLICE


def describe(run: dict) -> list[str]:
    """What a run left out, and what failed in it."""
    row, foreign = VERSIONS["row_of"](run["row"]), "qemu" in run["machine"]
    lines = []
    if run["tests"] != slice_of(row, foreign):
        lines.append("- run with: `" + " ".join(run["tests"]) + "`")
    unseen = [path for path in SLICE if not any(test.startswith(path) for test in run["tests"])]
    if unseen and not foreign:
        lines.append(f"- not run: {quoted(unseen)}")
    lines += [f"- note: {run['note']}"] if run.get("note") else []
    lines += [f"- left out: {reason}" for reason in run["refusals"]]
    lines += [f"- failed: `{name}`" for name in run["failures"]]
    return ["", f"## torch {run['row']}, {run['machine']}", "", *lines] if lines else []


def address(failure: str) -> str:
    """What pytest is told to run a test that `outcomes` names."""
    module, _, name = failure.partition("::")
    return f"{module.replace('.', '/')}.py::{name}"


def corrected(before: dict, again: dict) -> dict:
    """A run whose failures ran once more."""
    return before | {
        "date": again["date"], "passed": before["passed"] + again["passed"], "failed": again["failed"],
        "skipped": before["skipped"] + again["skipped"], "failures": again["failures"],
        "refusals": sorted({*before["refusals"], *again["refusals"]})}


def run_row(row: object, arguments: list[str], keep: bool, arch: str) -> dict:
    """Builds and tests one row; raises SystemExit when there is nothing to count."""
    chosen = [argument for argument in arguments if (ROOT / argument.partition("::")[0]).is_relative_to(ROOT / "tests")]
    foreign = arch != platform.machine()
    tests = chosen or slice_of(row, foreign)
    options = [argument for argument in arguments if argument not in chosen]
    os.environ.setdefault("PYTEST_TIMEOUT", str(TIMEOUT))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small parallel regions stall beside other work
    with tree(ROOT / "build/matrix" / (f"{row.torch}-{arch}" if foreign else row.torch), keep) as folder:
        report = folder / "build/report.xml"
        began = time.monotonic()
        run = [*tests, "-q", "--junitxml", str(report), *options]
        if foreign:
            cross.test(folder, row.torch, run)
        else:
            build_sh(folder, row, "test", *run)
        if not report.exists():
            raise SystemExit(f"torch {row.torch}: nothing ran")
        done = subprocess.run([folder / ".venv/bin/python", "-c", FACTS], capture_output=True, text=True, check=True,
                              cwd=folder, env={"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"})
        return {"row": row.torch, "machine": f"{arch} (qemu)" if foreign else arch,
                "date": datetime.date.today().isoformat(), "tests": tests,
                "minutes": round((time.monotonic() - began) / 60), **json.loads(done.stdout),
                **outcomes(report.read_text())}


def main() -> None:
    parser = argparse.ArgumentParser(prog="build.sh matrix")
    parser.add_argument("--torch", action="append", default=[], metavar="VERSION", help="a row; default: all of tier 1")
    parser.add_argument("--arch", default=platform.machine(), choices=[platform.machine(), "aarch64"],
                        help="another machine than this one: a cross build, tested under qemu")
    parser.add_argument("--keep", action="store_true",
                        help="leave copy and environment in build/matrix, and use them again")
    parser.add_argument("--failed", action="store_true", help="only what failed in the run that the table has")
    parser.add_argument("--note", help="what the table shall say of the run, if it was not like any other")
    options, tests = parser.parse_known_args()
    failed = 0
    for row in rows(options.torch):
        key = f"{row.torch} {options.arch}"
        record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        if options.failed and not record.get(key, {}).get("failures"):
            continue
        failures = [address(failure) for failure in record[key]["failures"]] if options.failed else []
        result = run_row(row, failures + tests, options.keep, options.arch)
        result |= {"note": options.note} if options.note else {}
        record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        record[key] = corrected(record[key], result) if options.failed else result
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        PAGE.write_text(page(record))
        failed += result["failed"]
        print(f"torch {result['torch']}, torch_npu {result['torch_npu']}: {result['passed']} passed, "
              f"{result['failed']} failed, {result['skipped']} skipped, {result['minutes']} min", flush=True)
        print(*describe(record[key])[3:], sep="\n", flush=True)
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
