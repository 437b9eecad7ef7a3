"""The parts of build.sh that need no build."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, cwd="/", **options):
    return subprocess.run([ROOT / "build.sh", *arguments], cwd=cwd, capture_output=True, text=True, **options)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_documents_every_command(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0
    commands = re.findall(r"^  (\w+)(?: \| [\w-]+)*\)$", (ROOT / "build.sh").read_text(), re.MULTILINE)
    assert {"quickstart", "test", "build", "bench", "clean"} <= set(commands)
    for command in commands:
        assert re.search(rf"^  {command} .*\w", done.stdout, re.MULTILINE)


def test_unknown_command():
    done = run("frobnicate")
    assert done.returncode == 1
    assert done.stderr.endswith("build.sh: unknown command: frobnicate\n")


@pytest.mark.parametrize("command", ["quickstart", "build", "clean"])
def test_superfluous_arguments(command):
    done = run(command, "surplus")
    assert done.returncode == 1
    assert done.stderr == f"build.sh: {command} takes no arguments; see ./build.sh --help\n"


def test_python_missing_or_too_old(tmp_path):
    shutil.copy(ROOT / "build.sh", tmp_path)
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$1" in --version) echo Python 3.8.1 ;; *) exit 1 ;; esac\n')
    old.chmod(0o755)
    for python, found in ((old, "found Python 3.8.1"), ("no-such-python", "found no no-such-python")):
        done = subprocess.run([tmp_path / "build.sh", "build"], env=os.environ | {"PYTHON": str(python)},
                              capture_output=True, text=True)
        assert done.returncode == 1
        assert f"no Python 3.11 to 3.14, for which torch and the tools have wheels; {found}:" in done.stderr


def test_missing_compiler():
    done = run("build", env=os.environ | {"CXX": "no-such-compiler"})
    assert done.returncode == 1
    assert "no C++ compiler: no-such-compiler not found" in done.stderr


@pytest.mark.parametrize("device", [[], ["gpu"]])
def test_other_devices(device):
    done = run("test", "--device", *device)
    assert done.returncode == 1
    assert f"build.sh: --device is npu, got '{''.join(device)}'" in done.stderr
