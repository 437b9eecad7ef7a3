"""torch_npu's own test files of our operators, unmodified, on the simulated NPU.

NPUFA_OP_PLUGIN=/path/to/op-plugin ./build.sh test -m slow tests/compat/test_public_files.py

The variable names a work tree or a bare clone of the public repository Ascend/op-plugin; npufa has no copy of it. The
files need the packages expecttest and einops.
"""

import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

import pytest

from compat.public_files import CANNOT_PASS, CLASSES, FILES, LEGITIMATE_SKIPS

VARIABLE = "NPUFA_OP_PLUGIN"
TIMEOUT = 3600  # seconds for a file; attention over 2048 tokens of 32 heads, with torch's own on the CPU beside it
NEEDED = ("expecttest", "einops")


@functools.cache
def _checkout():
    """The folder test/ of op-plugin."""
    source = Path(os.environ[VARIABLE])
    if (source / "test" / "test_custom_ops").is_dir():
        return source / "test"
    folder = Path(tempfile.mkdtemp(prefix="op_plugin_"))
    archive = subprocess.run(["git", "-C", source, "archive", "HEAD", "test"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder / "test"


def _outcomes(report):
    """Test name -> (outcome, text): "passed", "skipped" or "failed"."""
    found = {}
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        outcome, text = "passed", ""
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                outcome = "skipped" if child.tag == "skipped" else "failed"
                text = child.get("message", "") + "\n" + (child.text or "")
        found[case.get("name")] = outcome, text
    return found


def _selection(file):
    path = str(_checkout() / file)
    return [f"{path}::{name}" for name in CLASSES[file]] if file in CLASSES else [path]


@pytest.mark.slow(group="programs")
@pytest.mark.timeout(TIMEOUT)
@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no checkout of Ascend/op-plugin")
@pytest.mark.parametrize("file", FILES)
def test_public_file(file, tmp_path):
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    assert not missing, f"op-plugin's tests import {missing}: pip install {' '.join(missing)}"
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "npufa", "run", "--no-check", "-m", "pytest", "-q", "-p", "unskip",
               "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={tmp_path}", f"--junitxml={report}",
               *_selection(file)]
    paths = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))})
    assert report.exists(), done.stdout[-4000:] + done.stderr[-4000:]
    outcomes = _outcomes(report)
    print(f"{file}: " + ", ".join(f"{name} {outcome}" for name, (outcome, _) in outcomes.items()))

    assert any(outcome != "skipped" for outcome, _ in outcomes.values()), "nothing was executed"
    for name, (outcome, text) in outcomes.items():
        if outcome == "skipped":
            assert any(reason in text for reason in LEGITIMATE_SKIPS), f"{name} was skipped: {text}"
        elif f"{file}::{name}" in CANNOT_PASS:
            assert outcome == "failed", f"{name} passes: take it out of CANNOT_PASS"
        else:
            assert outcome == "passed", f"{name}\n{text}"
