"""Wheels of npufa for other versions of torch, each built in a copy of the tree; see `build.sh --help`."""

from __future__ import annotations

import os
import subprocess
import sys

from row_tree import ROOT, build_sh, rows, tree


def main() -> None:
    dist = ROOT / "dist"
    for row in rows(sys.argv[1:]):
        print(f"== wheel for torch {row.torch}", flush=True)
        with tree(ROOT / "build/wheels" / row.torch) as folder:
            if build_sh(folder, row, "build") != 0:
                raise SystemExit(f"the build for torch {row.torch} failed")
            options = ["--no-build-isolation", "--no-deps", "-w", dist]
            python = folder / ".venv/bin/python"
            environment = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"}  # its cmake and ninja
            subprocess.run([python, "-m", "pip", "wheel", *options, "."], cwd=folder, env=environment, check=True)
    print(*sorted(wheel.name for wheel in dist.glob("*.whl")), sep="\n")


if __name__ == "__main__":
    main()
